"""The form of a program: what the YAML may say, as strict types (unknown keys are refused).

The words and their meaning are those of docs/domain.md. There is no behaviour here: loading is in
`load`, checks over several keys in `check`, what the engine evaluates in `compiled`.
What is part of the form the engine obeys: no program is half obeyed. Its parts lie in `form_words`,
`form_rules` and `form_sections`; all are had from here.
"""

from typing import Annotated

from msgspec import Meta

from ledger.core.program.form_rules import (
    Award,
    BestOfGroup,
    BirthdayWindow,
    EarnRule,
    Hours,
    Limit,
    Lines,
    Multiplier,
    Nth,
    OnActivity,
    Override,
    Period,
    Rate,
    Stacking,
    Step,
    When,
)
from ledger.core.program.form_sections import (
    BasketShare,
    Budget,
    CatalogueReward,
    Charity,
    Closing,
    Downgrade,
    Level,
    PromoSeries,
    Qualifies,
    QualifyBy,
    QualifyWindow,
    Redemption,
    Referral,
    ReferralQualifies,
    ReferralReward,
    ReferrerLimit,
    Returns,
    Rfm,
    Segment,
    SegmentWhen,
    ShareOfPurchases,
    Survey,
    Tiers,
    Transfers,
)
from ledger.core.program.form_words import (
    ActivateAfter,
    Activation,
    Bounds,
    Count,
    ExpireBy,
    Expiry,
    Ids,
    Moment,
    Money,
    Points,
    Rounding,
    Score,
    Strict,
    Texts,
    Validity,
)
from schemas.fields import Id, Text

__all__ = [
    "ActivateAfter",
    "Activation",
    "Award",
    "BasketShare",
    "BestOfGroup",
    "BirthdayWindow",
    "Bounds",
    "Budget",
    "CatalogueReward",
    "Charity",
    "Closing",
    "Count",
    "Downgrade",
    "EarnRule",
    "ExpireBy",
    "Expiry",
    "Hours",
    "Ids",
    "Level",
    "Limit",
    "Lines",
    "Moment",
    "Money",
    "Multiplier",
    "Nth",
    "OnActivity",
    "Override",
    "Period",
    "Points",
    "Program",
    "PromoSeries",
    "Qualifies",
    "QualifyBy",
    "QualifyWindow",
    "Rate",
    "Redemption",
    "Referral",
    "ReferralQualifies",
    "ReferralReward",
    "ReferrerLimit",
    "Returns",
    "Rfm",
    "Rounding",
    "Score",
    "Segment",
    "SegmentWhen",
    "ShareOfPurchases",
    "Stacking",
    "Step",
    "Strict",
    "Survey",
    "Texts",
    "Tiers",
    "Transfers",
    "Validity",
    "When",
]


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
