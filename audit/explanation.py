"""What an explanation holds, as data: for each point where it came from and where it went.

`audit.explain` fills it from the log, `audit.words` tells it. Moments are datetimes in UTC, money
is in minor units of the currency, points are integers. Everything here is frozen and goes to JSON
as it is; what is left out has its default.
"""

from datetime import datetime

from msgspec import Struct

Plain = int | str | tuple[str, ...] | None
"""What a reason names: a number, a text, several texts, or nothing."""


class Happened(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An event of the account, as what it caused names it. `event`: its kind in the log;
    `input_type`, `source` and `id`: the input that led to it, empty where time alone did.
    `recorded_at`, `shard` and `position` are left out of what has fallen due and no event records
    yet. `program`: the version it was decided by. `name`: of the survey, activity, charity, reward,
    tier or actor, by the kind of event; `member`: the other one."""

    event: str
    occurred_at: datetime
    recorded_at: datetime | None = None
    shard: int | None = None
    position: int | None = None
    input_type: str = ""
    source: str = ""
    id: str = ""
    program: str = ""
    late_by_seconds: int = 0
    addressed: str = ""
    order_id: str = ""
    return_id: str = ""
    redemption_id: str = ""
    store_id: str = ""
    name: str = ""
    member: str = ""
    actor: str = ""
    reason: str = ""


class CappedBy(Struct, frozen=True):
    """What made an award smaller, as the event records it, and what that still allowed."""

    by: str
    left: int


class OfLine(Struct, frozen=True):
    """The points allocated to a line of the order."""

    line_id: str
    points: int


class Granted(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An award: rule `rule` of version `program` computed `value` on `matched_amount` minor units,
    of which `points` were granted."""

    rule: str
    kind: str
    program: str
    value: int
    points: int
    matched_amount: int = 0
    capped: tuple[CappedBy, ...] = ()
    lines: tuple[OfLine, ...] = ()
    counts_for_tier: bool = False


class Movement(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`points` of a lot moved at `at`. `kind`, staying in it: activated | reserved | released;
    leaving it: spent | donated | claimed | expired | taken_back | not_activated | forfeited |
    sent | merged | paid_debt | adjusted; coming back: restored."""

    kind: str
    points: int
    at: datetime
    by: Happened


class LotStory(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One lot. `came`: points that came into it, `how`: granted | adjusted | received | merged;
    `from_lot`: its number in the account of `by.member`, which went over into this one.
    `waits_for`: the event without which the points are revoked at `activates_at`; `idle`: they
    expire so long after the last purchase. `went`: by kind of movement what left it, net of what
    came back; those and what is left sum to `came`."""

    lot: int
    how: str
    came: int
    by: Happened
    awards: tuple[Granted, ...] = ()
    from_lot: int | None = None
    granted_at: datetime
    activates_at: datetime
    expires_at: datetime | None = None
    waits_for: str = ""
    idle: str = ""
    movements: tuple[Movement, ...] = ()
    went: dict[str, int]
    pending: int
    available: int
    reserved: int

    @property
    def left(self) -> int:
        """What is left in it, wherever it is."""
        return self.pending + self.available + self.reserved


class Payment(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Debt that ended. `lot`: from which it was paid; without one it went with the account that
    ended, or was let go with it."""

    points: int
    at: datetime
    by: Happened
    lot: int | None = None


class Owed(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Debt: `points` that were to be taken and were not there. The oldest is paid first."""

    points: int
    at: datetime
    by: Happened
    payments: tuple[Payment, ...] = ()
    left: int


class Reason(Struct, frozen=True):
    """The first condition that failed: what the rule asked, and what there was."""

    code: str
    asked: dict[str, Plain]
    actual: dict[str, Plain]


class RuleOutcome(Struct, frozen=True, omit_defaults=True):
    """What a rule came to. `reason`: why it gave nothing."""

    rule: str
    points: int = 0
    reason: Reason | None = None


class Judged(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A purchase or an activity, and every rule of the program version that judged it."""

    by: Happened
    tier: str
    amount: int | None = None
    points: int
    rules: tuple[RuleOutcome, ...]


class RefusedInput(Struct, frozen=True):
    """An input that was turned down."""

    by: Happened
    code: str
    message: str


class Explanation(Struct, frozen=True, kw_only=True):
    """A member's points. `as_of`: by `occurred_at`. The balances are as
    in `points balance`; with the debt, they sum to what is left in the lots (invariant 2)."""

    member_id: str
    currency: str
    time_zone: str
    as_of: datetime
    status: str
    merged_into: str | None
    tier: str
    available: int
    pending: int
    reserved: int
    debt: int
    lots: tuple[LotStory, ...]
    owed: tuple[Owed, ...]
    judged: tuple[Judged, ...]
    refused: tuple[RefusedInput, ...]
