"""The reference model: what the ledger should say, worked out the plain way.

It keeps everything it was ever told about a member and follows the definitions literally: no
events, no shards, no caches, nothing taken from the ledger. Inputs are CloudEvents as dictionaries
and are applied in order of arrival. Commands on points have no topic, so they are given in the same
form: `redemption.reserve.v1` (redemption_id, points, ttl?), `redemption.confirm.v1` (redemption_id,
points?) and `redemption.cancel.v1` (redemption_id). An event's `idempotency_key`, if it has one, is
what it is known by.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

import orjson

from demo.reference import codes, earning, returns
from demo.reference.dates import (
    STEP,
    Duration,
    day_start,
    duration,
    instant,
    period_start,
    plus,
    window,
)
from demo.reference.program import (
    Account,
    Activation,
    Expiry,
    Limit,
    Line,
    Program,
    Purchase,
    Rule,
    UnsupportedError,
    Versions,
    rounded,
)
from demo.reference.tiers import Counted, History
from demo.reference.wallet import Hold, Lot, Moments, Wallet, Welcome

Data = Mapping[str, Any]

# The business key of each input: what makes it the same input again.
_KEYS = {
    "purchase.completed.v1": ("order_id",),
    "purchase.returned.v1": ("return_id",),
    "referral.registered.v1": ("referrer_id",),
    "survey.completed.v1": ("completion_id",),
    "activity.completed.v1": ("activity", "reference"),
    "redemption.reserve.v1": ("redemption_id",),
    "redemption.confirm.v1": ("redemption_id",),
    "redemption.cancel.v1": ("redemption_id",),
}
# What a merged account does not pass on to the one that stays.
_NOT_FORWARDED = {
    *("member.enrolled.v1", "member.updated.v1", "member.erased.v1"),
    *("command.freeze.v1", "command.unfreeze.v1", "command.close.v1", "command.merge.v1"),
}
_SPENDING = {
    *("redemption.reserve.v1", "command.redeem.v1", "command.donate.v1", "command.claim.v1"),
    *("command.transfer.v1", "command.merge.v1"),
}
_OTHER = _NOT_FORWARDED | _SPENDING | {"command.adjust.v1", "command.tier.v1"}
_TEN_YEARS = timedelta(days=3_660)


class RefusedError(Exception):
    """A business refusal; its text is the code."""


@dataclass(slots=True)
class Granted:
    """One award as it was granted, and how much of each line's share has been taken back."""

    award: earning.Award
    lot: Lot
    taken: list[int]
    let_go: int = 0  # of what was taken, what the policy did not take
    used: int = 0  # of its budget

    def kept(self) -> int:
        return self.award.points - sum(self.taken)


@dataclass(eq=False)
class Reward:
    """A referral's reward for one order; the referrer's consists of a fixed part and a share."""

    who: "Member"
    lot: Lot
    at: datetime
    points: int
    of_referee: bool = False
    taken: int = 0
    per: str = ""  # the period in which it counts against a limit


@dataclass
class Order:
    purchase: Purchase
    awards: list[Granted] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)  # minor units, per line
    whole: list[bool] = field(default_factory=list)  # per line: nothing is left to return
    rewards: list[Reward] = field(default_factory=list)
    share: int | None = None  # the referrer's, of the whole order
    share_taken: int = 0  # of it, also where no reward could be taken
    used: list[codes.Use] = field(default_factory=list)

    def share_due(self) -> int:
        """What of the share must have been taken back by now."""
        assert self.share is not None
        back, amount = sum(self.returned), self.purchase.amount
        return self.share if all(self.whole) or back >= amount else self.share * back // amount

    @property
    def amount_left(self) -> int:
        return self.purchase.amount - sum(self.returned)


@dataclass
class Referral:
    referrer_id: str
    at: datetime
    referee_id: str
    status: str = "open"  # open | closed | qualified | taken_back
    order_id: str | None = None  # the purchase that qualified
    shared: list[str] = field(default_factory=list)  # orders of which the referrer gets a share


@dataclass
class Member:
    id: str
    wallet: Wallet
    tiers: History
    seen: dict[tuple[str, ...], bytes] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    limited: dict[str, list[tuple[Purchase, Granted]]] = field(default_factory=dict)
    surveys: set[str] = field(default_factory=set)
    referral: Referral | None = None
    other_referrals: list[Referral] = field(default_factory=list)  # rewarded, came by merges
    redemptions: dict[str, Hold] = field(default_factory=dict)
    waiting: dict[str, list[tuple[datetime, Data]]] = field(default_factory=dict)
    status: str = "open"  # open | frozen | closed | merged | erased
    merged_into: str | None = None
    merged_from: list[str] = field(default_factory=list)
    # Given to other members: when, how much, and the periods in which that was limited.
    given: list[tuple[datetime, int, set[str]]] = field(default_factory=list)
    capped: list[tuple[datetime, int]] = field(default_factory=list)  # donated or paid, with a cap
    codes_used: Counter[str] = field(default_factory=Counter)  # by series
    rewarded: list[Reward] = field(default_factory=list)  # for members whom this one brought in
    profile: dict[str, Any] = field(default_factory=dict)
    # What became of the returns that waited for their purchase, by return_id.
    waited: dict[str, str] = field(default_factory=dict)


class ReferenceProgram:
    """`document`: the program; `later`: more versions of it, in the order of publishing. What the
    world beside the accounts knows is told: `segments` of each member, `codes` that were generated,
    `loaded` codes of vouchers."""

    def __init__(self, document: Mapping[str, Any], *later: Mapping[str, Any]) -> None:
        self.versions = Versions([document, *later])
        self.zone = self.versions.zone
        self.members: dict[str, Member] = {}
        self.segments: dict[str, frozenset[str]] = {}
        self.budgets = self.versions.budgets()
        self.spent: Counter[str] = Counter()  # of budgets
        self.codes: dict[str, codes.Generated] = {}  # by their normal form
        self.loaded: Counter[str] = Counter()
        self.claimed: Counter[str] = Counter()
        self.addressed = ""  # the member whom the input at hand names

    def member(self, member_id: str) -> Member:
        """The member's account, opened if there is none yet."""
        if member_id not in self.members:
            wallet = Wallet(self.versions, self.versions.start)
            history = History(
                self.zone,
                lambda moment: self.versions.at(moment).tiers,
                self.versions.starts(),
            )
            member = self.members[member_id] = Member(member_id, wallet, history)
            wallet.next_rise = lambda after: self._next_rise(member, after)
            wallet.rise = lambda wallet, at: self._rise(member, wallet, at)
        return self.members[member_id]

    def state(self, member_id: str, at: datetime) -> dict[str, int | str]:
        """The balances and the tier as of a moment; changes nothing."""
        member = self.members[member_id]
        total = member.wallet.balance(at)
        return {
            "available": total["available"],
            "pending": total["pending"],
            "reserved": total["reserved"],
            "expired": total["expired"],
            "granted": -total["issued"],
            "debt": max(0, -total["available"]),
            "tier": self.tier(member, at),
        }

    def room(self, budget: str) -> int:
        """What is left of a budget."""
        return self.budgets[budget].total - self.spent[budget]

    # Tiers

    def tier(self, member: Member, at: datetime) -> str:
        return self.versions.at(at).tier_name(member.tiers.rank(at))

    def count(self, member: Member, at: datetime, happened_at: datetime, **amounts: int) -> None:
        """Count towards the tier from `at` on, in the period of `happened_at`."""
        tiers = self.versions.at(happened_at).tiers
        if tiers:
            # The whole life is one period; any name of it will do.
            period = period_start(happened_at, tiers.months or 12, self.zone)
            if tiers.rolling is not None:
                period = day_start(happened_at, self.zone)
            member.tiers.counted.append(Counted(at, period, amounts[tiers.measure]))

    def _next_rise(self, member: Member, after: datetime) -> datetime | None:
        """When a tier set by hand ends, or a version begins."""
        moments = [one.until for one in member.tiers.by_hand] + self.versions.starts()
        return min((moment for moment in moments if moment > after), default=None)

    def _rise(self, member: Member, wallet: Wallet, at: datetime) -> None:
        if at in [one.until for one in member.tiers.by_hand] or at in self.versions.starts():
            self._welcome(wallet, self.tier(member, at - STEP), self.tier(member, at), at)
            for lot in wallet.lots:
                if not lot.active and lot.activates_at <= at and not lot.waits:
                    wallet.activate(lot)
            wallet.pay_debt()

    def _welcome(self, wallet: Wallet, before: str, tier: str, at: datetime) -> None:
        """What a level gives to who enters it from below, once. With what the same input grants it
        becomes available, and pays debt, in one."""
        program = self.versions.at(at)
        if program.tiers is None or tier not in program.tiers.welcome:
            return
        if tier in [one.level for one in wallet.welcomed]:
            return
        if program.tiers.rank(tier) > program.tiers.rank(before):
            points = program.tiers.welcome[tier]
            moments = Moments.of(at, program.activation, program.expiry, self.versions)
            lot = wallet.grant(points, at, moments)
            wallet.welcomed.append(Welcome(tier, at, lot, points))

    def take_welcomes_back(
        self, member: Member, before: str, bought_at: datetime, at: datetime, program: Program
    ) -> None:
        """What a return took the member below the levels of."""
        tiers = self.versions.at(at).tiers
        if tiers is None:
            return
        was, left = tiers.rank(before), tiers.rank(self.tier(member, at))
        for one in list(member.wallet.welcomed):
            if left < tiers.rank(one.level) <= was and bought_at <= one.at:
                member.wallet.claw_back(one.points, one.lot, [], at, program)
                member.wallet.welcomed.remove(one)

    def _set_tier(self, member: Member, at: datetime, data: Data) -> None:
        tiers, until = self.versions.at(at).tiers, instant(data["until"])
        if tiers is None:
            raise RefusedError("no_tiers")
        if data["tier"] not in ["none", *(level for level, _ in tiers.levels)]:
            raise RefusedError("unknown_tier")
        if not at < until <= at + _TEN_YEARS:
            raise RefusedError("bad_until")
        before = self.tier(member, at)
        member.tiers.set_by_hand(data["tier"], at, until)
        self._welcome(member.wallet, before, self.tier(member, at), at)

    # Inputs

    def apply(self, event: Mapping[str, Any]) -> str:
        """Apply one input. Returns applied, duplicate, conflict, waiting, refused(CODE) or
        dead_lettered(CODE).
        """
        kind, data, at = str(event["type"]), event["data"], instant(event["time"])
        if kind not in _KEYS and kind not in _OTHER:
            raise UnsupportedError(f"input type: {kind}")
        if at < self.versions.start:
            return "dead_lettered(no_program)"
        if event.get("subject") is None:
            return "applied"  # an anonymous purchase moves no points
        member = self.member(str(event["subject"]))
        key = (kind, *(str(data[name]) for name in _KEYS.get(kind, ())))
        if "idempotency_key" in event:
            key = (kind, str(event["idempotency_key"]))
        elif kind not in _KEYS:
            key = (kind, str(event["source"]), str(event["id"]))
        text = orjson.dumps([at, data], default=str, option=orjson.OPT_SORT_KEYS)
        content = hashlib.sha256(text).digest()
        if key in member.seen:
            return "duplicate" if member.seen[key] == content else "conflict"
        member.seen[key] = content
        if kind not in _NOT_FORWARDED:
            member = self.stays(member)
        names = (kind, str(data["activity"])) if kind == "activity.completed.v1" else (kind,)
        member.wallet.happens(names, at)
        self.settle(member, at)
        self.addressed = str(event["subject"])
        try:
            outcome = self._decide(kind, member, at, data)
        except RefusedError as refusal:
            outcome = f"refused({refusal})"
        self.settle(member, at)  # what was granted may be due at once, or have been due already
        return outcome

    def stays(self, member: Member) -> Member:
        """The account itself, or the one that it was merged into; an erased member's own."""
        if member.status == "erased":
            return member
        while member.merged_into is not None:
            member = self.members[member.merged_into]
        return member

    def settle(self, member: Member, at: datetime) -> None:
        at = max(at, member.wallet.settled_to)
        member.wallet.settle(at)
        for waiting in member.waiting.values():
            for returned_at, data in list(waiting):
                window_of = self.versions.at(returned_at).return_window
                if self.after(returned_at, window_of) <= at:
                    waiting.remove((returned_at, data))
                    member.waited[data["return_id"]] = "refused(return_window_over)"

    def after(self, at: datetime, by: Duration) -> datetime:
        return plus(at, by, self.zone)

    def _decide(self, kind: str, member: Member, at: datetime, data: Data) -> str:
        if member.status == "erased":
            raise RefusedError("account_erased")
        if member.status in ("closed", "merged") and kind != "member.erased.v1":
            raise RefusedError(f"account_{member.status}")
        if member.status == "frozen" and kind in _SPENDING:
            raise RefusedError("account_frozen")
        match kind:
            case "member.erased.v1":
                self._end(member, "erased")
                member.wallet.forfeit(at)
            case "command.freeze.v1" | "command.unfreeze.v1":
                self._freeze(member, kind == "command.freeze.v1")
            case "command.close.v1":
                self._end(member, "closed")
                notice = self.versions.at(at).closing_notice
                member.wallet.forfeits_at = self.after(at, notice)
            case "command.redeem.v1":
                self._redeem(member, at, data)
            case "command.donate.v1":
                self._donate(member, at, data)
            case "command.claim.v1":
                self._claim(member, at, data)
            case "command.tier.v1":
                self._set_tier(member, at, data)
            case "command.adjust.v1":
                self._adjust(member, at, data)
            case "command.transfer.v1":
                self._transfer(member, at, data)
            case "command.merge.v1":
                self._merge(member, at, data)
            case "purchase.completed.v1":
                self._purchase(member, at, data)
            case "purchase.returned.v1":
                if data["order_id"] not in member.orders:
                    member.waiting.setdefault(data["order_id"], []).append((at, data))
                    return "waiting"
                self._return(member, at, data)
            case "referral.registered.v1":
                self._referral(member, at, data)
            case "survey.completed.v1":
                self._survey(member, at, data)
            case "activity.completed.v1":
                self._activity(member, at, data)
            case "member.enrolled.v1":
                member.profile = dict(data.get("profile", {}))
            case "member.updated.v1":
                member.profile |= data["profile"]
            case "redemption.reserve.v1":
                self._reserve(member, at, data)
            case "redemption.confirm.v1" | "redemption.cancel.v1":
                self._finish(member, at, data, confirm=kind == "redemption.confirm.v1")
        return "applied"

    # What is bought and what comes back.

    def _purchase(self, member: Member, at: datetime, data: Data) -> None:
        purchase = _purchase(at, data)

        order = Order(purchase)
        order.returned = [0] * len(purchase.lines)
        order.whole = [False] * len(purchase.lines)
        first_lot, before = member.wallet.granted_lots + 1, self.tier(member, at)
        named = codes.named(self, member, purchase, self.addressed)
        awards = self._earn(member, order, named=named)
        earned = sum(award.points for award in awards if award.rule.counts_for_tier)
        self.count(member, at, at, amount_spent=purchase.amount, points_earned=earned, purchases=1)
        order.used = codes.used(purchase, named, awards)
        codes.count(self, member, order.used, 1)
        member.orders[purchase.order_id] = order
        hold = member.redemptions.get(purchase.redemption_id or "")
        if hold is not None and hold.order_id is None:
            hold.order_id = purchase.order_id
        self._qualify(member, order)
        self._welcome(member.wallet, before, self.tier(member, at), at)
        member.wallet.purchased(at, first_lot)
        waiting = member.waiting.pop(purchase.order_id, [])
        if waiting:  # what is due at once is there, and has paid debt, before it comes back
            self.settle(member, at)
        for returned_at, waited in waiting:
            self._release(member, returned_at, waited, purchase.occurred_at)

    def _release(self, member: Member, at: datetime, waited: Data, bought_at: datetime) -> None:
        """A return finds the order that it waited for."""
        try:
            self._return(member, at, waited, bought_at)
            member.waited[waited["return_id"]] = "applied"
        except RefusedError as refusal:
            member.waited[waited["return_id"]] = f"refused({refusal})"

    def _earn(
        self,
        member: Member,
        order: Order,
        activity: str | None = None,
        named: Sequence[codes.Named] = (),
    ) -> list[earning.Award]:
        """Grant what the purchase (or the activity) earns."""
        purchase, wallet = order.purchase, member.wallet
        at = purchase.occurred_at
        program = self.versions.at(at)

        def used(rule: Rule, limit: Limit) -> int:
            here = window(at, limit.per, purchase.order_id, self.zone)
            kept = [
                granted.kept()
                for earlier, granted in member.limited.get(rule.id, ())
                if window(earlier.occurred_at, limit.per, earlier.order_id, self.zone) == here
                and limit.per in [one.per for one in granted.award.rule.limits]
            ]
            return sum(kept) if limit.kind == "points" else sum(1 for points in kept if points)

        balance = sum(lot.left for lot in wallet.spendable()) - wallet.debt
        birthday = member.profile.get("birthday")
        account = Account(
            self.tier(member, at),
            balance,
            len(member.orders),
            tuple(member.profile.get("tags") or ()),
            None if birthday is None else date.fromisoformat(birthday),
            self.segments.get(member.id, frozenset()),
            frozenset(one.series for one in named),
        )
        awards = earning.awards(program, purchase, account, used, activity)
        awards = self._paid(awards)
        # Points of one purchase with the same activation and expiry are one lot.
        dates = [self._dates(at, award.rule.activation, award.rule.expiry) for award in awards]
        lots = {
            when: member.wallet.grant(
                sum(a.points for a, d in zip(awards, dates, strict=True) if d == when), at, when
            )
            for when in dict.fromkeys(dates)
        }
        for award, when in zip(awards, dates, strict=True):
            granted = Granted(award, lots[when], [0] * len(award.shares))
            if award.rule.budget is not None:
                granted.used = self.budgets[award.rule.budget].need(award.points)
            order.awards.append(granted)
        for granted in order.awards:
            if granted.award.rule.limits:
                member.limited.setdefault(granted.award.rule.id, []).append((purchase, granted))
        return awards

    def _paid(self, awards: Iterable[earning.Award]) -> list[earning.Award]:
        """Those whose budget has enough for them; what multiplies one that was not paid is
        nothing."""
        paid: list[earning.Award] = []
        for award in awards:
            of, budget = award.rule.of, award.rule.budget
            if of and of not in [one.rule.id for one in paid]:
                continue
            if budget is None or self._pay(budget, award.points):
                paid.append(award)
        return paid

    def _pay(self, budget: str, points: int) -> bool:
        """Take what an award needs off its budget, if there is enough."""
        need = self.budgets[budget].need(points)
        enough = need <= self.room(budget)
        self.spent[budget] += need * enough
        return enough

    def _activity(self, member: Member, at: datetime, data: Data) -> None:
        name = str(data["activity"])
        if not any(name in rule.activities for rule in self.versions.at(at).rules):
            raise RefusedError("unknown_activity")
        before = self.tier(member, at)
        nothing = [Line("", "", None, None, 0, 0)]
        done = Purchase("", at, nothing, 0, data.get("store_id"), None, None, None, None)
        order = Order(done, [], [0], [False])
        awards = self._earn(member, order, name)
        earned = sum(award.points for award in awards if award.rule.counts_for_tier)
        self.count(member, at, at, amount_spent=0, points_earned=earned, purchases=0)
        self._welcome(member.wallet, before, self.tier(member, at), at)

    def _return(
        self, member: Member, at: datetime, data: Data, earliest: datetime | None = None
    ) -> None:
        """`earliest`: that of its purchase, where it had waited for it."""
        order = member.orders[data["order_id"]]
        bought_at = order.purchase.occurred_at
        program = self.versions.at(at if earliest is None else max(at, earliest))
        if at > self.after(bought_at, self.versions.at(bought_at).return_window):
            raise RefusedError("return_window_over")
        named = returns.named_lines(order, data)
        if isinstance(named, str):
            raise RefusedError(named)
        returns.apply(self, member, order, named, max(at, bought_at), program)

    # Surveys and referrals

    def _grant(
        self, member: Member, points: int, at: datetime, activation: Activation, expiry: Expiry
    ) -> Lot:
        return member.wallet.grant(points, at, self._dates(at, activation, expiry))

    def _dates(self, at: datetime, activation: Activation, expiry: Expiry) -> Moments:
        return Moments.of(at, activation, expiry, self.versions)

    def _survey(self, member: Member, at: datetime, data: Data) -> None:
        survey = self.versions.at(at).surveys.get(data["survey_id"])
        if survey is None:
            raise RefusedError("unknown_survey")
        if data["survey_id"] in member.surveys:
            raise RefusedError("already_rewarded")
        if not survey.valid_from <= at < survey.valid_to:
            raise RefusedError("outside_window")
        if survey.budget is not None and not self._pay(survey.budget, survey.points):
            return
        member.surveys.add(data["survey_id"])
        before = self.tier(member, at)
        if survey.counts_for_tier:
            self.count(member, at, at, amount_spent=0, points_earned=survey.points, purchases=0)
        self._grant(member, survey.points, at, survey.activation, survey.expiry)
        self._welcome(member.wallet, before, self.tier(member, at), at)

    def _referral(self, member: Member, at: datetime, data: Data) -> None:
        referrer = self.members.get(data["referrer_id"])
        if self.versions.at(at).referral is None:
            raise RefusedError("no_referral")
        names = (member.id, *member.merged_from)
        if data["referrer_id"] in names:
            raise RefusedError("self_referral")
        if member.referral is not None:
            raise RefusedError("already_referred")
        if referrer and referrer.status in ("closed", "erased"):
            raise RefusedError(f"referrer_{referrer.status}")
        if referrer and referrer.referral and referrer.referral.referrer_id in names:
            raise RefusedError("cycle")
        if any(order.purchase.occurred_at < at for order in member.orders.values()):
            raise RefusedError("existing_buyer")
        member.referral = Referral(data["referrer_id"], at, member.id)
        for order in sorted(member.orders.values(), key=lambda o: o.purchase.occurred_at):
            self._qualify(member, order)

    def _qualify(self, member: Member, order: Order) -> None:
        """Look at one purchase of a referred member, while the referral is open."""
        at, referral = order.purchase.occurred_at, member.referral
        terms = self.versions.at(at).referral
        if terms is None or referral is None:
            return
        if referral.status == "qualified" and at >= referral.at:
            if 0 < len(referral.shared) < terms.share_orders:
                self._reward(referral, order, at, 0)
            return
        if referral.status != "open":
            return
        qualifies = (
            at >= referral.at
            and order.amount_left >= terms.at_least
            and (terms.within is None or at <= self.after(referral.at, terms.within))
        )
        if not qualifies:
            referral.status = "closed" if terms.first_only else "open"
            return
        referral.status, referral.order_id = "qualified", order.purchase.order_id
        if terms.referee_points:
            lot = self._grant(member, terms.referee_points, at, *terms.referee_dates)
            order.rewards.append(Reward(member, lot, at, terms.referee_points, True))
        self._reward(referral, order, at, terms.referrer_points)

    def _reward(self, referral: Referral, order: Order, at: datetime, fixed: int) -> None:
        """What the referrer gets for an order: a fixed reward, a share, or both."""
        terms = self.versions.at(at).referral
        assert terms is not None
        points = fixed
        if terms.share_orders:
            rounding = self.versions.at(at).rounding
            order.share = rounded(terms.share * order.purchase.amount, rounding)
            referral.shared.append(order.purchase.order_id)
            if any(order.returned):
                order.share_taken = order.share_due()
            points += order.share - order.share_taken
        who = self.stays(self.member(referral.referrer_id))
        if not points or not self._takes_reward(who, referral):
            return
        self.settle(who, at)
        most = terms.per_referrer
        if most is not None:
            here = window(at, most.per, "", self.zone)
            times = sum(
                reward.taken < reward.points
                and reward.per == most.per
                and window(reward.at, most.per, "", self.zone) == here
                for reward in who.rewarded
            )
            if times >= most.most:
                return
        lot = self._grant(who, points, at, *terms.referrer_dates)
        self.settle(who, at)
        reward = Reward(who, lot, at, points, per="" if most is None else most.per)
        who.rewarded.append(reward)
        order.rewards.append(reward)

    def _takes_reward(self, referrer: Member, referral: Referral) -> bool:
        own = referrer.referral
        return (
            referrer.status in ("open", "frozen")
            and referral.referee_id not in (referrer.id, *referrer.merged_from)
            and (own is None or own.referrer_id != referral.referee_id)
        )

    # Spending

    def _reserve(self, member: Member, at: datetime, data: Data) -> None:
        points, wallet = int(data["points"]), member.wallet
        if data["redemption_id"] in member.redemptions:
            known = member.redemptions[data["redemption_id"]]
            if known.open or known.parts:  # one that gave everything back is forgotten
                raise RefusedError("reservation_exists")
        program = self.versions.at(at)
        self._check_spending(member, points, at, data.get("basket"))
        ttl = duration(data["ttl"]) if "ttl" in data else program.reservation_ttl
        if self.after(at, ttl) <= wallet.settled_to:
            raise RefusedError("reservation_lapsed")
        hold = member.redemptions[data["redemption_id"]] = wallet.reserve(points, at, ttl)
        hold.capped = program.spent_per_day is not None

    def _check_spending(
        self,
        member: Member,
        points: int,
        at: datetime,
        basket: Sequence[Data] | None,
        order_id: str | None = None,
    ) -> None:
        program = self.versions.at(at)
        if points < program.minimum:
            raise RefusedError("below_minimum")
        if points % program.step:
            raise RefusedError("not_a_step")
        if program.share_percent is not None or program.excluded is not None:
            if basket is None:
                raise RefusedError("basket_required")
            excluded = program.excluded or ()
            amount = sum(line["amount"] for line in basket if line.get("category") not in excluded)
            worth = Fraction(amount * (program.share_percent or 100), 100 * program.point_value)
            paid = sum(
                hold.held - hold.restored
                for hold in member.redemptions.values()
                if order_id is not None and hold.order_id == order_id and not hold.open
            )
            if points > max(0, rounded(worth, "floor") - paid):
                raise RefusedError("above_basket_share")
        self._check_there(member, points, at)

    def _check_there(self, member: Member, points: int, at: datetime) -> None:
        """That so many are available, and may be spent in this day."""
        wallet, cap = member.wallet, self.versions.at(at).spent_per_day
        if points > sum(lot.left for lot in wallet.spendable()) - wallet.debt:
            raise RefusedError("not_enough_points")
        if cap is not None:
            held = [(h.made_at, h.held) for h in member.redemptions.values() if h.capped]
            today = at.astimezone(self.zone).date()
            before = sum(
                n
                for moment, n in held + member.capped
                if moment.astimezone(self.zone).date() == today
            )
            if before + points > cap:
                raise RefusedError("above_day_limit")

    def _spend(self, member: Member, points: int, at: datetime) -> None:
        """For what no return gives back."""
        if self.versions.at(at).spent_per_day is not None:
            member.capped.append((at, points))
        member.wallet.draw(points, at, "redeemed")

    def _redeem(self, member: Member, at: datetime, data: Data) -> None:
        points, wallet, name = int(data["points"]), member.wallet, str(data["redemption_id"])
        if name in member.redemptions:
            raise RefusedError("redemption_exists")
        self._check_spending(member, points, at, data.get("basket"), data.get("order_id"))
        hold = member.redemptions[name] = wallet.reserve(points, at, Duration())
        hold.capped = self.versions.at(at).spent_per_day is not None
        wallet.confirm(hold, points, at)
        hold.order_id = data.get("order_id")

    def _donate(self, member: Member, at: datetime, data: Data) -> None:
        points, program = int(data["points"]), self.versions.at(at)
        valid = program.charities.get(data["charity_id"])
        if valid is None:
            raise RefusedError("unknown_charity")
        if not valid[0] <= at < valid[1]:
            raise RefusedError("outside_window")
        if points < program.minimum:
            raise RefusedError("below_minimum")
        if points % program.step:
            raise RefusedError("not_a_step")
        self._check_there(member, points, at)
        self._spend(member, points, at)

    def _claim(self, member: Member, at: datetime, data: Data) -> None:
        name = str(data["reward_id"])
        reward = self.versions.at(at).rewards.get(name)
        if reward is None:
            raise RefusedError("not_in_catalogue")
        if not reward.valid_from <= at < reward.valid_to:
            raise RefusedError("outside_window")
        self._check_there(member, reward.points, at)
        stock = [] if reward.stock is None else [reward.stock]
        if reward.kind == "voucher":
            stock.append(self.loaded[name])
        if stock:  # else there is no end to them, and nobody counts
            if self.claimed[name] >= min(stock):
                raise RefusedError("sold_out")
            self.claimed[name] += 1
        self._spend(member, reward.points, at)

    def _adjust(self, member: Member, at: datetime, data: Data) -> None:
        points, wallet = int(data["points"]), member.wallet
        if points > 0:
            moments = Moments.of(at, Activation(), self.versions.at(at).expiry, self.versions)
            if "expires_at" in data:
                moments = Moments(at, instant(data["expires_at"]))
                if instant(data["expires_at"]) <= at:
                    raise RefusedError("already_expired")
            wallet.adjust_in(points, at, moments)
            return
        there = sum(lot.left for lot in wallet.spendable()) - wallet.debt
        if -points > there and not data.get("allow_debt", False):
            raise RefusedError("not_enough_points")
        wallet.draw(-points, at, "adjusted")

    def _finish(self, member: Member, at: datetime, data: Data, *, confirm: bool) -> None:
        hold = member.redemptions.get(data["redemption_id"])
        if hold is None:
            raise RefusedError("unknown_redemption")
        if not hold.open:
            raise RefusedError("redemption_closed")
        if not confirm:
            member.wallet.release(hold, at)
            return
        reserved = sum(part for _, part in hold.parts)
        points = int(data.get("points", reserved))
        if points > reserved:
            raise RefusedError("more_than_reserved")
        member.wallet.confirm(hold, points, at)

    # Two accounts, and the end of one

    def _end(self, member: Member, status: str) -> None:
        """No input is taken any more, and no return waits."""
        member.status = status
        for waiting in member.waiting.values():
            for _, data in waiting:
                member.waited[data["return_id"]] = f"refused(account_{status})"
        member.waiting = {}

    def _freeze(self, member: Member, freeze: bool) -> None:
        if freeze == (member.status == "frozen"):
            raise RefusedError("already_frozen" if freeze else "not_frozen")
        member.status = "frozen" if freeze else "open"

    def _other(self, member_id: str) -> Member:
        other = self.members.get(member_id)
        if other is None or not (other.seen or other.wallet.entries):
            raise RefusedError("receiver_unknown")
        if other.status not in ("open", "frozen"):
            raise RefusedError(f"receiver_{other.status}")
        return other

    def _transfer(self, member: Member, at: datetime, data: Data) -> None:
        terms, points, wallet = self.versions.at(at).transfers, int(data["points"]), member.wallet
        if terms is None:
            raise RefusedError("transfers_off")
        if data["to"] == member.id:
            raise RefusedError("transfer_to_self")
        other = self._other(data["to"])
        if points < terms.minimum:
            raise RefusedError("below_minimum")
        if terms.at_most is not None and points > terms.at_most:
            raise RefusedError("above_maximum")
        for period, most in terms.per:
            here = window(at, period, "", self.zone)
            given = sum(
                n
                for t, n, limited in member.given
                if period in limited and window(t, period, "", self.zone) == here
            )
            if most is not None and given + points > most:
                raise RefusedError("over_limit")
        if points > sum(lot.left for lot in wallet.spendable()) - wallet.debt:
            raise RefusedError("not_enough_points")
        limited = {period for period, most in terms.per if most is not None}
        member.given.append((at, points, limited))
        self.settle(other, at)
        other.wallet.receive(wallet.send(points, at), at)

    def _merge(self, member: Member, at: datetime, data: Data) -> None:
        if data["into"] == member.id:
            raise RefusedError("merge_into_self")
        other = self._other(data["into"])
        self.settle(other, at)
        lots = {id(lot): lot for lot in member.wallet.lots}
        for hold in member.redemptions.values():
            lots |= {id(lot): lot for lot, _ in hold.parts}
        for order in member.orders.values():
            lots |= {id(granted.lot): granted.lot for granted in order.awards}
        other.wallet.absorb(member.wallet, list(lots.values()), at)
        now = max(at, other.wallet.settled_to)
        # It counts for the other's tier from now on, in the periods in which it happened.
        came: Counter[tuple[datetime, datetime]] = Counter()
        for one in member.tiers.counted:
            came[max(one.at, now), one.period] += one.amount
        other.tiers.counted += [Counted(*when, amount) for when, amount in came.items()]
        other.codes_used.update(member.codes_used)
        other.orders |= member.orders
        for rule_id, granted in member.limited.items():
            other.limited.setdefault(rule_id, []).extend(granted)
        for order_id, waiting in member.waiting.items():
            other.waiting.setdefault(order_id, []).extend(waiting)
        other.surveys |= member.surveys
        other.redemptions |= member.redemptions
        other.given += member.given
        other.capped += member.capped
        other.rewarded += member.rewarded
        other.merged_from += [*member.merged_from, member.id]
        self._merge_referrals(member, other)
        member.status, member.merged_into = "merged", other.id
        member.tiers.counted, member.tiers.by_hand, member.waiting = [], [], {}
        for order_id in [one for one in other.waiting if one in other.orders]:
            bought_at = other.orders[order_id].purchase.occurred_at
            for returned_at, waited in other.waiting.pop(order_id):
                self.settle(other, returned_at)
                self._release(other, returned_at, waited, bought_at)

    def _merge_referrals(self, member: Member, other: Member) -> None:
        """One that was rewarded goes before one that was not, else the own one stays. Of several
        that were rewarded each can be taken back."""
        own, came = other.referral, member.referral
        both = [own, came, *other.other_referrals, *member.other_referrals]
        rewarded = [one for one in both if one is not None and one.status == "qualified"]
        own = rewarded[0] if rewarded else own or came
        other.other_referrals = [one for one in rewarded if one is not own]
        if own is not None and own.status == "open":
            bought = [order.purchase.occurred_at for order in other.orders.values()]
            if own.referrer_id in (other.id, *other.merged_from) or any(t < own.at for t in bought):
                own.status = "closed"
        other.referral = own


def _purchase(at: datetime, data: Data) -> Purchase:
    lines = [
        Line(
            entry["line_id"],
            entry["sku"],
            entry.get("category"),
            entry.get("brand"),
            quantity if type(quantity := entry["quantity"]) is int else Fraction(str(quantity)),
            entry["amount"],
        )
        for entry in data["lines"]
    ]
    return Purchase(
        order_id=data["order_id"],
        occurred_at=at,
        lines=lines,
        amount=sum(line.amount for line in lines),
        store_id=data.get("store_id"),
        region=data.get("region"),
        channel=data.get("channel"),
        payment_type=data.get("payment_type"),
        redemption_id=data.get("redemption_id"),
        partner_id=data.get("partner_id"),
        promo_codes=tuple(data.get("promo_codes", ())),
    )
