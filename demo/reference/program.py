"""The program's YAML as plain values and predicates.

Only the rule kinds that the model knows are read. An unknown key, a float, a rule of a kind that
the model does not follow: each is refused with `UnsupportedError`, because a model that silently
skips a rule would agree with nothing.
"""

import calendar
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from demo.reference import expression
from demo.reference.dates import Duration, duration, instant, period_end, plus

_AT_ONCE = Duration()


class UnsupportedError(ValueError):
    """The program or the input uses something that this model does not follow."""


class Line(NamedTuple):
    line_id: str
    sku: str
    category: str | None
    brand: str | None
    quantity: int | Fraction
    amount: int


@dataclass
class Purchase:
    order_id: str
    occurred_at: datetime
    lines: list[Line]
    amount: int  # of all lines, minor units
    store_id: str | None
    region: str | None
    channel: str | None
    payment_type: str | None
    redemption_id: str | None
    partner_id: str | None = None
    promo_codes: tuple[str, ...] = ()


class Account(NamedTuple):
    """What a rule may ask of the account, before the purchase counts."""

    tier: str
    balance: int = 0  # available, below 0 in debt
    purchases: int = 0
    tags: tuple[str, ...] = ()
    birthday: date | None = None
    segments: frozenset[str] = frozenset()
    series: frozenset[str] = frozenset()  # of promo codes: those of which a good one was named


@dataclass(frozen=True)
class Activation:
    after: Duration = _AT_ONCE
    on: str = ""  # an event that is waited for, so long:
    within: Duration = _AT_ONCE


@dataclass(frozen=True)
class Expiry:
    after: Duration | None  # None: never
    end_of_months: int = 0  # 1 or 12: go on to the end of that period; 0: do not
    idle: Duration | None = None  # instead: so long after the last purchase

    def of(self, granted: datetime, activation: datetime, zone: ZoneInfo) -> datetime | None:
        if self.idle is not None:
            return max(plus(granted, self.idle, zone), activation)
        if self.after is None:
            return None
        moment = plus(activation, self.after, zone)
        return period_end(moment, self.end_of_months, zone) if self.end_of_months else moment


@dataclass(frozen=True)
class Limit:
    kind: str  # points | times
    most: int
    per: str


Condition = Callable[[Purchase, Account], bool]


@dataclass(frozen=True)
class Award:
    kind: str  # rate | fixed | table | multiplier
    of: str  # a multiplier's rule
    rate: Fraction  # points per minor unit; for a multiplier: by
    steps: tuple[tuple[int, int], ...]  # (at least, points); a fixed award is one step from 0


@dataclass(frozen=True)
class Rule:
    id: str
    activities: tuple[str, ...]  # none: it rewards purchases
    of: str  # a multiplier's rule
    awards: tuple[tuple[tuple[Condition, ...], Award], ...]  # the first that holds counts
    rounding: str
    group: str | None
    exclusive: bool
    limits: tuple[Limit, ...]
    valid_from: datetime
    valid_to: datetime
    conditions: tuple[Condition, ...]
    line_conditions: tuple[Callable[[Line], bool], ...]
    activation: Activation
    expiry: Expiry
    counts_for_tier: bool
    budget: str | None
    words: frozenset[str]  # promo codes that it asks for as they are written
    series: frozenset[str]  # and those of which it asks for a good code


@dataclass(frozen=True)
class Survey:
    points: int
    counts_for_tier: bool
    budget: str | None
    valid_from: datetime
    valid_to: datetime
    activation: Activation
    expiry: Expiry


@dataclass(frozen=True)
class Budget:
    kind: str  # points | times
    total: int

    def need(self, points: int) -> int:
        return points if self.kind == "points" else 1


@dataclass(frozen=True)
class Series:
    id: str
    code: str | None  # the fixed one; without it they are generated
    uses: int | None
    per_member: int | None
    valid_from: datetime
    valid_to: datetime

    @property
    def budget(self) -> str:
        return f"uses of {self.id}"


@dataclass(frozen=True)
class CatalogueReward:
    points: int
    kind: str  # gift | voucher
    stock: int | None
    valid_from: datetime
    valid_to: datetime


@dataclass(frozen=True)
class Tiers:
    measure: str  # amount_spent | points_earned | purchases
    months: int  # length of the calendar period; 0: the whole life
    rolling: Duration | None  # instead of a period: the last so many days
    one_down: bool  # fall one level at a time
    levels: tuple[tuple[str, int], ...]  # (id, at least), lowest first
    grace: Duration
    welcome: Mapping[str, int]  # points for entering a level

    def level(self, amount: int) -> int:
        """How many thresholds the amount reaches: 0 is no tier."""
        return sum(1 for _, at_least in self.levels if amount >= at_least)

    def rank(self, tier: str) -> int:
        """The place of a level among them; 0 for no tier."""
        return ["none", *(level for level, _ in self.levels)].index(tier)


@dataclass(frozen=True)
class ReferralTerms:
    first_only: bool
    at_least: int
    within: Duration | None
    referrer_points: int
    share: Fraction  # of what the referee pays, for the referrer
    share_orders: int
    per_referrer: Limit | None
    referee_points: int
    referrer_dates: tuple[Activation, Expiry]
    referee_dates: tuple[Activation, Expiry]


@dataclass(frozen=True)
class Transfers:
    minimum: int
    at_most: int | None
    per: tuple[tuple[str, int | None], ...]  # (day or month, points)


_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_PERIOD_MONTHS = {"calendar_month": 1, "calendar_quarter": 3, "calendar_year": 12, "lifetime": 0}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TOP = (
    "program currency time_zone effective_from point_value rounding activation expiry earn tiers "
    "surveys referral returns redemption segments transfers closing"
    " charities rewards budgets promo_codes"
)
_RULE = (
    "id on when lines award stacking limits valid activation expiry counts_for_tier overrides"
    " rounding budget"
)
_SPENDING = "minimum step reservation_ttl restore_grace per_day maximum_share excluded_categories"
_PLACES = {"store": "store_id", "region": "region", "channel": "channel", "partner": "partner_id"}


class Program:
    """Everything that the model asks of a program, read once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        _only(document, _TOP, "program")
        self.zone = ZoneInfo(str(document["time_zone"]))
        self.effective_from = instant(document["effective_from"])
        self.rounding = str(document.get("rounding", "floor"))
        _known_rounding(self.rounding)
        self.point_value = int(document.get("point_value", 1))
        self.activation = _activation(document.get("activation", "immediately"))
        self.expiry = _expiry(document.get("expiry", "never"))
        self.series = {str(s["id"]): _series(s) for s in document.get("promo_codes") or ()}
        self.budgets = {str(b["id"]): _budget(b) for b in document.get("budgets") or ()}
        for one in self.series.values():
            if one.code is not None and one.uses is not None:
                self.budgets[one.budget] = Budget("times", one.uses)
        self.tiers = _tiers(document["tiers"]) if document.get("tiers") else None
        self.rules = [self._rule(entry) for entry in document.get("earn") or ()]
        for place, rule in enumerate(self.rules):
            if rule.of and rule.of not in [earlier.id for earlier in self.rules[:place]]:
                raise UnsupportedError(f"{rule.id}: a multiplier of {rule.of}")
        self.surveys = {str(s["id"]): self._survey(s) for s in document.get("surveys") or ()}
        self.referral = self._referral(document["referral"]) if document.get("referral") else None
        returns = document.get("returns") or {}
        _only(returns, "policy window debt_limit", "returns")
        self.return_policy = str(returns.get("policy", "within_balance"))
        if self.return_policy not in ("only_pending", "within_balance", "debt"):
            raise UnsupportedError(f"returns policy: {self.return_policy}")
        self.return_window = duration(str(returns.get("window", "P1Y")))
        self.debt_limit: int | None = returns.get("debt_limit")
        self.transfers = _transfers(document["transfers"]) if document.get("transfers") else None
        closing = document.get("closing") or {}
        _only(closing, "notice", "closing")
        self.closing_notice = duration(str(closing.get("notice", "P0D")))
        redemption = document.get("redemption") or {}
        _only(redemption, _SPENDING, "redemption")
        share = redemption.get("maximum_share") or {}
        _only(share, "percent", "maximum_share")
        excluded = redemption.get("excluded_categories")
        self.excluded = frozenset(_texts(excluded)) if excluded is not None else None
        self.share_percent = int(share["percent"]) if share else None
        self.spent_per_day: int | None = redemption.get("per_day")
        charities = document.get("charities") or ()
        self.charities = {str(entry["id"]): _valid(entry) for entry in charities}
        self.rewards = {str(entry["id"]): _reward(entry) for entry in document.get("rewards") or ()}
        self.minimum, self.step = int(redemption.get("minimum", 1)), int(redemption.get("step", 1))
        self.reservation_ttl = duration(str(redemption.get("reservation_ttl", "PT30M")))
        self.restore_grace = duration(str(redemption.get("restore_grace", "P0D")))

    def rank(self, tier: str) -> int:
        return [level for level, _ in self.tiers.levels].index(tier) + 1 if self.tiers else 0

    def tier_name(self, rank: int) -> str:
        return self.tiers.levels[rank - 1][0] if self.tiers and rank else "none"

    def _when(self, entry: Mapping[str, Any]) -> tuple[Activation, Expiry]:
        activation, expiry = entry.get("activation"), entry.get("expiry")
        return (
            self.activation if activation is None else _activation(activation),
            self.expiry if expiry is None else _expiry(expiry),
        )

    def _rule(self, entry: Mapping[str, Any]) -> Rule:
        name = str(entry["id"])
        _only(entry, _RULE, name)
        award = _award(entry["award"], name)
        awards: list[tuple[tuple[Condition, ...], Award]] = [((), award)]
        for override in reversed(entry.get("overrides") or ()):
            where = tuple(self._condition(k, v, name) for k, v in override.items() if k in _PLACES)
            _only(override, f"award {' '.join(_PLACES)}", name)
            awards.insert(0, (where, _award(override["award"], name)))
        rounding = _known_rounding(str(entry.get("rounding", self.rounding)))
        stacking = entry.get("stacking", "add")
        group = stacking.get("best_of_group") if isinstance(stacking, Mapping) else None
        if stacking not in ("add", "exclusive") and group is None:
            raise UnsupportedError(f"{name}: stacking {stacking!r}")
        when = entry.get("when") or {}
        conditions = {"expression": when} if isinstance(when, str) else when
        activation, expiry = self._when(entry)
        asked = frozenset(_texts(conditions.get("promo_code", [])))
        on = entry.get("on") or {}
        _only(on, "activity", name)
        return Rule(
            id=name,
            activities=tuple(_texts(on["activity"])) if on else (),
            of=award.of,
            awards=tuple(awards),
            rounding=rounding,
            group=group,
            exclusive=stacking == "exclusive",
            limits=tuple(_limit(limit, name) for limit in entry.get("limits") or ()),
            valid_from=_valid(entry)[0],
            valid_to=_valid(entry)[1],
            conditions=tuple(self._condition(k, v, name) for k, v in conditions.items()),
            line_conditions=tuple(
                _line_condition(k, v, name) for k, v in (entry.get("lines") or {}).items()
            ),
            activation=activation,
            expiry=expiry,
            counts_for_tier=bool(entry.get("counts_for_tier", True)),
            budget=entry.get("budget"),
            words=asked - self.series.keys(),
            series=asked & self.series.keys(),
        )

    def _condition(self, key: str, wanted: Any, where: str) -> Condition:
        texts = set() if isinstance(wanted, Mapping) else set(_texts(wanted))
        match key:
            case "tier":
                return lambda _, account: account.tier in texts
            case "tier_at_least":
                rank = self.rank(str(wanted))
                return lambda _, account: account.tier != "none" and self.rank(account.tier) >= rank
            case "purchase_amount":
                in_range = _range(wanted, where)
                return lambda purchase, _: in_range(purchase.amount)
            case "tag":
                return lambda _, account: not texts.isdisjoint(account.tags)
            case "birthday":
                _only(wanted, "days_before days_after", where)
                before, after = wanted.get("days_before", 0), wanted.get("days_after", 0)
                return lambda purchase, account: _near(
                    account.birthday, purchase.occurred_at.astimezone(self.zone), before, after
                )
            case "balance":
                in_range = _range(wanted, where)
                return lambda _, account: in_range(account.balance)
            case "nth_purchase":
                _only(wanted, "is every", where)
                exact, every = wanted.get("is"), wanted.get("every")
                return lambda _, account: (
                    exact in (None, account.purchases + 1)
                    and (every is None or (account.purchases + 1) % every == 0)
                )
            case "store" | "region" | "channel" | "partner" | "payment_type":
                field = _PLACES.get(key, key)
                return lambda purchase, _: getattr(purchase, field) in texts
            case "promo_code":
                words, series = texts - self.series.keys(), texts & self.series.keys()
                return lambda purchase, account: (
                    not (
                        words.isdisjoint(purchase.promo_codes) and series.isdisjoint(account.series)
                    )
                )
            case "segment":
                return lambda _, account: not texts.isdisjoint(account.segments)
            case "hours":
                _only(wanted, "from to", where)
                start, end = _minute(wanted["from"]), _minute(wanted["to"])
                return lambda purchase, _: _between(
                    start, end, purchase.occurred_at.astimezone(self.zone)
                )
            case "weekday":
                days = {_WEEKDAYS.index(day.lower()[:3]) for day in texts}
                return lambda purchase, _: (
                    purchase.occurred_at.astimezone(self.zone).weekday() in days
                )
            case "expression":
                holds = expression.compiled(str(wanted))
                return lambda purchase, account: holds({"purchase": purchase, "account": account})
        raise UnsupportedError(f"{where}: condition {key}")

    def _survey(self, entry: Mapping[str, Any]) -> Survey:
        _only(entry, "id award activation expiry valid counts_for_tier budget", str(entry["id"]))
        counts, budget = bool(entry.get("counts_for_tier", False)), entry.get("budget")
        return Survey(_fixed(entry["award"]), counts, budget, *_valid(entry), *self._when(entry))

    def _referral(self, entry: Mapping[str, Any]) -> ReferralTerms:
        _only(entry, "qualifies referrer referee per_referrer", "referral")
        ((kind, terms),) = entry["qualifies"].items()
        if kind not in ("first_purchase", "purchase"):
            raise UnsupportedError(f"referral qualifies: {kind}")
        _only(terms, "at_least within", "referral")
        referrer, most = entry.get("referrer") or {}, entry.get("per_referrer")
        referee = entry.get("referee") or {}
        _only(referrer, "fixed share activation expiry", "referrer")
        _only(referee, "fixed activation expiry", "referee")
        share = referrer.get("share") or {}
        _only(share, "rate orders", "share")
        return ReferralTerms(
            kind == "first_purchase",
            int(terms.get("at_least", 0)),
            duration(terms["within"]) if "within" in terms else None,
            int(referrer.get("fixed", 0)),
            _award({"rate": share["rate"]}, "share").rate if share else Fraction(0),
            int(share.get("orders", 1)) if share else 0,
            Limit("times", int(most["times"]), str(most.get("per", "lifetime"))) if most else None,
            int(referee.get("fixed", 0)),
            self._when(referrer),
            self._when(referee),
        )


def _only(entry: Mapping[str, Any], known: str, where: str) -> None:
    unknown = set(entry) - set(known.split())
    if unknown:
        raise UnsupportedError(f"{where}: {', '.join(sorted(map(str, unknown)))}")


def _exact(value: Any, where: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UnsupportedError(f"{where}: {value!r} is not an exact number")
    return Fraction(value)


def _texts(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]


def _range(bounds: Mapping[str, int], where: str) -> Callable[[int], bool]:
    _only(bounds, "at_least at_most below", where)
    low, high, below = bounds.get("at_least"), bounds.get("at_most"), bounds.get("below")
    return lambda value: (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (below is None or value < below)
    )


def _line_condition(key: str, wanted: Any, where: str) -> Callable[[Line], bool]:
    if key == "amount":
        in_range = _range(wanted, where)
        return lambda line: in_range(line.amount)
    if key not in ("category", "brand", "sku"):
        raise UnsupportedError(f"{where}: lines {key}")
    texts, column = set(_texts(wanted)), Line._fields.index(key)
    return lambda line: line[column] in texts


def _valid(entry: Mapping[str, Any]) -> tuple[datetime, datetime]:
    valid = entry.get("valid") or {}
    _only(valid, "from to", "valid")
    return (
        instant(valid["from"]) if "from" in valid else _ALWAYS[0],
        instant(valid["to"]) if "to" in valid else _ALWAYS[1],
    )


def _near(birthday: date | None, local: datetime, before: int, after: int) -> bool:
    if birthday is None:
        return False
    for year in range(local.year - 1, local.year + 2):
        leap_day = (birthday.month, birthday.day) == (2, 29) and not calendar.isleap(year)
        this = date(year, 2, 28) if leap_day else birthday.replace(year=year)
        if this - timedelta(before) <= local.date() <= this + timedelta(after):
            return True
    return False


def _minute(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _between(start: int, end: int, local: datetime) -> bool:
    minute = local.hour * 60 + local.minute
    if start < end:
        return start <= minute < end
    return minute >= start or minute < end  # over midnight


def _known_rounding(rounding: str) -> str:
    if rounding not in ("floor", "half_even", "ceil"):
        raise UnsupportedError(f"rounding: {rounding}")
    return rounding


def rounded(value: Fraction, rounding: str) -> int:
    match rounding:
        case "floor":
            return value.numerator // value.denominator
        case "ceil":
            return -(-value.numerator // value.denominator)
    return round(value)  # a Fraction rounds half to even


def _fixed(award: Mapping[str, Any]) -> int:
    _only(award, "fixed", "award")
    return int(award["fixed"])


def _award(award: Mapping[str, Any], where: str) -> Award:
    ((kind, terms),) = award.items()
    match kind:
        case "fixed":
            return Award(kind, "", Fraction(0), ((0, int(terms)),))
        case "table":
            steps = tuple((s["at_least"], s["points"]) for s in terms)
            return Award(kind, "", Fraction(0), steps)
        case "rate":
            _only(terms, "points per_amount", where)
            rate = _exact(terms["points"], where) / _exact(terms["per_amount"], where)
            return Award(kind, "", rate, ())
        case "multiplier":
            _only(terms, "of by", where)
            return Award(kind, str(terms["of"]), _exact(terms["by"], where), ())
    raise UnsupportedError(f"{where}: award {kind}")


def _limit(entry: Mapping[str, Any], where: str) -> Limit:
    kind = "points" if "points" in entry else "times"
    _only(entry, f"{kind} per", where)
    return Limit(kind, int(entry[kind]), str(entry["per"]))


def _budget(entry: Mapping[str, Any]) -> Budget:
    kind = "points" if "points" in entry else "times"
    _only(entry, f"id {kind}", "budget")
    return Budget(kind, int(entry[kind]))


def _series(entry: Mapping[str, Any]) -> Series:
    _only(entry, "id code uses per_member valid", "promo_codes")
    numbers = entry.get("uses"), entry.get("per_member")
    return Series(str(entry["id"]), entry.get("code"), *numbers, *_valid(entry))


def _reward(entry: Mapping[str, Any]) -> CatalogueReward:
    _only(entry, "id points kind stock valid", "rewards")
    return CatalogueReward(int(entry["points"]), entry["kind"], entry.get("stock"), *_valid(entry))


def _activation(value: Any) -> Activation:
    if value == "immediately":
        return Activation()
    _only(value, "after on within", "activation")
    if "on" in value:
        return Activation(on=str(value["on"]), within=duration(value["within"]))
    return Activation(duration(value["after"]))


def _expiry(value: Any) -> Expiry:
    if value == "never":
        return Expiry(None)
    _only(value, "after end_of after_inactivity", "expiry")
    if "after_inactivity" in value:
        return Expiry(None, idle=duration(value["after_inactivity"]))
    months = {"month": 1, "year": 12}[value["end_of"]] if "end_of" in value else 0
    return Expiry(duration(value.get("after", "P0D")), months)


def _transfers(entry: Mapping[str, Any]) -> Transfers:
    _only(entry, "minimum at_most per_day per_month", "transfers")
    per = tuple((period, entry.get(f"per_{period}")) for period in ("day", "month"))
    return Transfers(int(entry.get("minimum", 0)), entry.get("at_most"), per)


def _tiers(entry: Mapping[str, Any]) -> Tiers:
    _only(entry, "qualify_by levels downgrade", "tiers")
    ((measure, terms),) = entry["qualify_by"].items()
    _only(terms, "window rolling", "tiers")
    downgrade = entry.get("downgrade") or {}
    _only(downgrade, "to grace", "tiers")
    to = downgrade.get("to", "to_qualified")
    if to not in ("to_qualified", "one_down"):
        raise UnsupportedError(f"tiers downgrade: {to}")
    if measure not in ("amount_spent", "points_earned", "purchases"):
        raise UnsupportedError(f"tiers qualify_by: {measure}")
    rolling = duration(terms["rolling"]) if "rolling" in terms else None
    if not rolling and terms.get("window") not in _PERIOD_MONTHS:
        raise UnsupportedError(f"tiers window: {terms.get('window')}")
    levels = tuple((str(level["id"]), int(level["at_least"])) for level in entry["levels"])
    if list(levels) != sorted(levels, key=lambda level: level[1]):
        raise UnsupportedError("tiers: levels are not in ascending order")
    grace = duration(downgrade.get("grace", "P0D"))
    months = 0 if rolling else _PERIOD_MONTHS[terms["window"]]
    welcome = {str(x["id"]): int(x["welcome"]) for x in entry["levels"] if x.get("welcome")}
    return Tiers(measure, months, rolling, to == "one_down", levels, grace, welcome)


class Versions:
    """The program versions, in the order in which they were published."""

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self.published = [Program(document) for document in documents]
        self.by_start = sorted(self.published, key=lambda program: program.effective_from)
        self.zone, self.start = self.published[0].zone, self.by_start[0].effective_from

    def at(self, moment: datetime) -> Program:
        """The version in force: of two from one moment the one published later."""
        return [p for p in self.by_start if p.effective_from <= max(moment, self.start)][-1]

    def starts(self) -> list[datetime]:
        return [program.effective_from for program in self.by_start[1:]]

    def budgets(self) -> dict[str, Budget]:
        """Each as the last version that names it has it."""
        return {name: budget for p in self.published for name, budget in p.budgets.items()}
