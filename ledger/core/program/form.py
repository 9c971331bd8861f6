"""The form of a program: what the YAML may say, as strict types (unknown keys are refused).

The words and their meaning are those of docs/domain.md. This file holds no behaviour: loading is in
`load`, checks over several keys in `check`, what the engine evaluates in `compiled`.
What is part of the form the engine obeys: no program is half obeyed.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ledger.core.program.duration import Duration, Ratio
from schemas.fields import Id, Text

Points = Annotated[int, Meta(ge=0, le=10**12)]
Money = Annotated[int, Meta(ge=0, le=10**12)]
Moment = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=1, le=10**9)]
Score = Annotated[int, Meta(ge=1, le=5)]
Texts = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=1_000)] | Text
Ids = Annotated[tuple[Id, ...], Meta(min_length=1, max_length=1_000)] | Id
Rounding = Literal["floor", "half_even", "ceil"]


class Strict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base of all parts: immutable, unknown keys refused."""


class Bounds(Strict, frozen=True):
    """A range of integers, both ends inclusive, either may be open."""

    at_least: int | None = None
    at_most: int | None = None


class Validity(Strict, frozen=True, rename={"start": "from", "end": "to"}):
    """`valid`: the rule holds for an `occurred_at` in [from, to)."""

    start: Moment | None = None
    end: Moment | None = None


# --- activation and expiry -------------------------------------------------------------------


class ActivateAfter(Strict, frozen=True):
    """`{after: P14D}`: from the grant's occurred_at. `{on: EVENT, within: P14D}`: when the event
    happens; the points are revoked when it has not by then."""

    after: Duration | None = None
    on: Id | None = None
    within: Duration | None = None


Activation = Literal["immediately"] | ActivateAfter


class ExpireBy(Strict, frozen=True):
    """`{after: P6M}` from activation; `{end_of: month|year, after: P12M}`: add (`after` may be left
    out), then go to the end; `{after_inactivity: P6M}` from the member's last purchase."""

    after: Duration | None = None
    end_of: Literal["month", "year"] | None = None
    after_inactivity: Duration | None = None


Expiry = Literal["never"] | ExpireBy


# --- awards ----------------------------------------------------------------------------------


class Rate(Strict, frozen=True):
    """`points` for every `per_amount` minor units of the lines matched."""

    points: Count
    per_amount: Count


class Multiplier(Strict, frozen=True):
    """An award of its own worth round(a * by) - a, where a is the award of rule `of`."""

    of: Id
    by: Ratio


class Step(Strict, frozen=True):
    """One step of a table: from `at_least` minor units on, `points`."""

    at_least: Money
    points: Points


class Award(Strict, frozen=True):
    """Exactly one of the four kinds."""

    rate: Rate | None = None
    fixed: Count | None = None
    table: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=1_000)] | None = None
    multiplier: Multiplier | None = None


# --- conditions ------------------------------------------------------------------------------


class Hours(Strict, frozen=True, rename={"start": "from", "end": "to"}):
    """Local hours of the day [from, to), `HH:MM`; from 22:00 to 02:00 goes over midnight."""

    start: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    end: Annotated[str, Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]


class BirthdayWindow(Strict, frozen=True):
    """Days before and after the member's birthday, in the program's zone."""

    days_before: Annotated[int, Meta(ge=0, le=180)] = 0
    days_after: Annotated[int, Meta(ge=0, le=180)] = 0


class Nth(Strict, frozen=True, rename={"is_": "is"}):
    """`{is: 1}` the first purchase, `{every: 6}` each sixth."""

    is_: Count | None = None
    every: Count | None = None


class When(Strict, frozen=True):
    """Typed conditions; all that are given must hold. A list means: one of them.

    `tier: x` is exactly x, `tier_at_least: x` is x or higher; no tier is `none`. `balance` is what
    is available before the purchase. `expression` is asked last.
    """

    purchase_amount: Bounds | None = None
    store: Texts | None = None
    region: Texts | None = None
    channel: Texts | None = None
    payment_type: Texts | None = None
    partner: Texts | None = None
    weekday: (
        Annotated[
            tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...],
            Meta(min_length=1, max_length=7),
        ]
        | None
    ) = None
    hours: Hours | None = None
    nth_purchase: Nth | None = None
    promo_code: Texts | None = None
    birthday: BirthdayWindow | None = None
    tag: Texts | None = None
    segment: Texts | None = None
    tier: Text | None = None
    tier_at_least: Text | None = None
    balance: Bounds | None = None
    expression: str | None = None


class Lines(Strict, frozen=True):
    """Which lines of a purchase a rule looks at; all given keys must hold for a line."""

    category: Texts | None = None
    sku: Texts | None = None
    brand: Texts | None = None
    amount: Bounds | None = None


# --- rules -----------------------------------------------------------------------------------

Period = Literal["order", "day", "iso_week", "month", "year", "lifetime"]


class Limit(Strict, frozen=True):
    """At most so many `points`, or so many `times`, per period (exactly one of the two)."""

    per: Period
    points: Count | None = None
    times: Count | None = None


class BestOfGroup(Strict, frozen=True):
    """Of the group's awards only the largest counts."""

    best_of_group: Id


Stacking = Literal["add", "exclusive"] | BestOfGroup


class Override(Strict, frozen=True):
    """Other numbers for named stores, regions, channels or partners; the first match counts.

    The award is of the same kind as the rule's; all places that are given must match.
    """

    award: Award
    store: Texts | None = None
    region: Texts | None = None
    channel: Texts | None = None
    partner: Texts | None = None


class OnActivity(Strict, frozen=True):
    """What the rule rewards instead of purchases: one of these activities."""

    activity: Ids


class EarnRule(Strict, frozen=True):
    """One earn rule. `when` is typed conditions, or an expression as a text.

    With `on` it is a rule on activities; then it has nothing that looks at a purchase.
    `lines` limits it to some lines, `limits` cap its awards per period, `stacking` sets it against
    other rules. `activation`, `expiry` and `rounding` are the program's unless given here.
    """

    id: Id
    award: Award
    when: When | str | None = None
    lines: Lines | None = None
    stacking: Stacking = "add"
    limits: Annotated[tuple[Limit, ...], Meta(max_length=10)] = ()
    valid: Validity | None = None
    activation: Activation | None = None
    expiry: Expiry | None = None
    counts_for_tier: bool = True
    budget: Id | None = None
    overrides: Annotated[tuple[Override, ...], Meta(max_length=100)] = ()
    rounding: Rounding | None = None
    on: OnActivity | None = None


class Budget(Strict, frozen=True):
    """At most so many `points`, or so many awards (`times`), over all members and for ever (exactly
    one of the two)."""

    id: Id
    points: Count | None = None
    times: Count | None = None


class PromoSeries(Strict, frozen=True):
    """A series of promo codes: one fixed `code`, or codes that are generated. `uses`: of each code,
    over all members (default: a fixed code any number, a generated one 1); `per_member`: of the
    series."""

    id: Id
    code: Text | None = None
    uses: Count | None = None
    per_member: Count | None = None
    valid: Validity | None = None


class Survey(Strict, frozen=True):
    """One reward per survey and member."""

    id: Id
    award: Award
    valid: Validity | None = None
    activation: Activation | None = None
    expiry: Expiry | None = None
    counts_for_tier: bool = False
    budget: Id | None = None


class Qualifies(Strict, frozen=True):
    """What the referee must do: the first purchase, or any purchase, that satisfies this."""

    at_least: Money = 0
    within: Duration | None = None


class ReferralQualifies(Strict, frozen=True):
    """Exactly one of the two."""

    first_purchase: Qualifies | None = None
    purchase: Qualifies | None = None


class ShareOfPurchases(Strict, frozen=True):
    """A share of the referee's first purchases."""

    rate: Rate
    orders: Annotated[int, Meta(ge=1, le=10)] = 1


class ReferralReward(Strict, frozen=True):
    """A fixed reward; for the referrer a share of the referee's purchases, or both."""

    fixed: Count | None = None
    share: ShareOfPurchases | None = None
    activation: Activation | None = None
    expiry: Expiry | None = None


class ReferrerLimit(Strict, frozen=True):
    """At most so many rewards per referrer and period."""

    times: Count
    per: Literal["day", "iso_week", "month", "year", "lifetime"] = "lifetime"


class Referral(Strict, frozen=True):
    """Rewards for bringing in a member."""

    qualifies: ReferralQualifies
    referrer: ReferralReward | None = None
    referee: ReferralReward | None = None
    per_referrer: ReferrerLimit | None = None
    valid: Validity | None = None


# --- tiers -----------------------------------------------------------------------------------


class QualifyWindow(Strict, frozen=True):
    """`window: calendar_year|calendar_month|calendar_quarter|lifetime` or `rolling: P12M`."""

    window: Literal["calendar_month", "calendar_quarter", "calendar_year", "lifetime"] | None = None
    rolling: Duration | None = None


class QualifyBy(Strict, frozen=True):
    """Exactly one measure."""

    amount_spent: QualifyWindow | None = None
    points_earned: QualifyWindow | None = None
    purchases: QualifyWindow | None = None


class Level(Strict, frozen=True):
    """One tier, from `at_least` of the measure on; `welcome` is granted on entering it."""

    id: Id
    at_least: Count
    welcome: Count | None = None


class Downgrade(Strict, frozen=True):
    """How a tier is lost."""

    to: Literal["to_qualified", "one_down"] = "to_qualified"
    grace: Duration | None = None


class Tiers(Strict, frozen=True):
    """Levels in rising order."""

    qualify_by: QualifyBy
    levels: Annotated[tuple[Level, ...], Meta(min_length=1, max_length=20)]
    downgrade: Downgrade = Downgrade()


# --- returns, spending, segments -------------------------------------------------------------


class Returns(Strict, frozen=True):
    """What a return takes back, and how far."""

    policy: Literal["only_pending", "within_balance", "debt"] = "debt"
    debt_limit: Points | None = None
    window: Duration = Duration(years=1)


class BasketShare(Strict, frozen=True):
    """At most this share of the basket may be paid with points."""

    percent: Annotated[int, Meta(ge=1, le=100)]


class Redemption(Strict, frozen=True):
    """Limits of spending."""

    minimum: Points = 0
    step: Count = 1
    reservation_ttl: Duration = Duration(seconds=1_800)
    restore_grace: Duration = Duration()
    maximum_share: BasketShare | None = None
    excluded_categories: Texts | None = None
    per_day: Count | None = None


class Charity(Strict, frozen=True):
    """A charity that points can be given to."""

    id: Id
    valid: Validity | None = None


class CatalogueReward(Strict, frozen=True):
    """A reward that points buy: a gift, or a voucher whose code is handed out once."""

    id: Id
    points: Count
    kind: Literal["gift", "voucher"]
    stock: Points | None = None
    valid: Validity | None = None


class Rfm(Strict, frozen=True):
    """Quintile scores, 5 = best; a member is in when each given score is one of those named."""

    recency: tuple[Score, ...] | None = None
    frequency: tuple[Score, ...] | None = None
    monetary: tuple[Score, ...] | None = None


class SegmentWhen(Strict, frozen=True):
    """All given conditions must hold. Frequency and monetary value are over the last 365 days."""

    recency_days: Bounds | None = None
    frequency: Bounds | None = None
    monetary: Bounds | None = None
    rfm: Rfm | None = None
    tier: Texts | None = None
    balance: Bounds | None = None
    region: Texts | None = None
    tag: Texts | None = None
    category_bought: Texts | None = None


class Segment(Strict, frozen=True):
    """A named condition over a member."""

    id: Id
    when: SegmentWhen


# --- accounts --------------------------------------------------------------------------------


class Closing(Strict, frozen=True):
    """Between the closing of an account and the end of its points lies `notice`."""

    notice: Duration


class Transfers(Strict, frozen=True):
    """Members may give points to each other: at least `minimum` and `at_most` so many at once, and
    within a local day or month no more than `per_day` and `per_month`, all in points."""

    minimum: Points = 0
    at_most: Count | None = None
    per_day: Count | None = None
    per_month: Count | None = None


class Program(Strict, frozen=True):
    """The whole program. `point_value`: minor units that one point is worth when spent."""

    program: Id
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    time_zone: Text
    effective_from: Moment
    point_value: Count
    activation: Activation
    expiry: Expiry
    earn: Annotated[tuple[EarnRule, ...], Meta(min_length=1, max_length=1_000)]
    rounding: Rounding = "floor"
    tiers: Tiers | None = None
    surveys: Annotated[tuple[Survey, ...], Meta(max_length=1_000)] = ()
    referral: Referral | None = None
    returns: Returns = Returns()
    redemption: Redemption = Redemption()
    segments: Annotated[tuple[Segment, ...], Meta(max_length=200)] = ()
    closing: Closing | None = None
    transfers: Transfers | None = None
    charities: Annotated[tuple[Charity, ...], Meta(max_length=1_000)] = ()
    rewards: Annotated[tuple[CatalogueReward, ...], Meta(max_length=1_000)] = ()
    budgets: Annotated[tuple[Budget, ...], Meta(max_length=200)] = ()
    promo_codes: Annotated[tuple[PromoSeries, ...], Meta(max_length=1_000)] = ()
