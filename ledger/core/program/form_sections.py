"""The form of what a program has beside earn rules: budgets, promo codes, surveys, referrals,
tiers, returns, spending, segments, accounts."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.core.program.duration import Duration
from ledger.core.program.form_rules import Award, Rate
from ledger.core.program.form_words import (
    Activation,
    Bounds,
    Count,
    Expiry,
    Money,
    Points,
    Score,
    Strict,
    Texts,
    Validity,
)
from schemas.fields import Id, Text

# --- budgets, promo codes, surveys, referrals -------------------------------------------------


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
