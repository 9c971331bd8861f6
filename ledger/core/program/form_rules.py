"""The form of earn rules: awards, the conditions under which they are given, limits, overrides."""

from typing import Annotated, Literal

from msgspec import Meta

from ledger.core.program.duration import Ratio
from ledger.core.program.form_words import (
    Activation,
    Bounds,
    Count,
    Expiry,
    Ids,
    Money,
    Points,
    Rounding,
    Strict,
    Texts,
    Validity,
)
from schemas.fields import Id, Text

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
