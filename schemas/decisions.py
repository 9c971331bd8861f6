"""The events of the log: one decision each, complete enough to explain and to decide again.

Every decision carries its postings (they sum to zero) and the tier changes it caused. Folding uses
nothing but these structs: no rule is evaluated again. All moments are microseconds since 1970 UTC
(`schemas.fields.Instant`); points are integers; `lot` numbers count 1, 2, 3 … within an account.
"""

from enum import StrEnum

from msgspec import Raw, Struct

from schemas.fields import Instant
from schemas.inputs import ActivityData, BasketLine, PurchaseData, ReturnData

NO_LOT = 0
"""The lot number of a posting that belongs to no lot: the account's debt, or the outside world."""


class PostingAccount(StrEnum):
    """The accounts of the double entry."""

    ISSUED = "issued"
    PENDING = "pending"
    AVAILABLE = "available"
    RESERVED = "reserved"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ADJUSTED = "adjusted"
    TRANSFERRED = "transferred"


class Posting(Struct, frozen=True, array_like=True, gc=False):
    """One side of a double entry.

    `account` is a PostingAccount's value. `points` is signed from the member's point of view:
    a grant posts issued -10, pending +10. `lot` is the lot moved; on `available` NO_LOT means the
    account's debt (a payment of debt posts lot L -y and NO_LOT +y). `effective_at`:
    see docs/domain.md, "Time".
    """

    account: str
    points: int
    lot: int
    effective_at: Instant


class LineShare(Struct, frozen=True, array_like=True, gc=False):
    """How many of an award's points were allocated to line `line` (0-based index in the order)."""

    line: int
    points: int


class Cap(Struct, frozen=True, array_like=True, gc=False):
    """Why an award is smaller than its value: `by` names the limit (`times/iso_week`,
    `points/day`, `best_of_group:g`, `budget:b`, `exclusive:rule`, and `multiplier_of:rule` when the
    rule multiplied lost), `left` what it still allowed."""

    by: str
    left: int


class BudgetShare(Struct, frozen=True, array_like=True, gc=False):
    """`amount` of budget `budget`: points, or awards where the budget counts `times`."""

    budget: str
    amount: int


class Terms(Struct, frozen=True, array_like=True, gc=False):
    """What can still move a lot's moments.

    `idle`: the points expire so long after the member's last purchase (a duration). `event`: they
    wait for it, up to and including `until`; then they expire `after` from it, or at the `end_of`
    that month or year, or `idle`; with none of these never."""

    idle: str = ""
    event: str = ""
    until: Instant = 0
    after: str = ""
    end_of: str = ""


Idle = tuple[tuple[str, Instant], ...]
"""For each length of inactivity the moment to which the last purchase moved its points."""


class Award(Struct, frozen=True, omit_defaults=True, gc=False):
    """Rule `rule` of the decision's program version grants `points`.

    `kind`: rate | fixed | table | multiplier | survey | referrer | share | referee | welcome |
    adjustment. `value` is what the rule computed before caps. `matched_amount`: minor units of the
    lines matched. `lines`: the allocation, summing to `points`. `counters`: keys of the limit
    counters that it uses up (`ledger.core.rules.limits`). `lot` is NO_LOT when `points` is 0.
    `expires_at` None: never. `terms`: what can still move these; points that wait for an event
    have as `activates_at` the moment at which they are revoked if it does not come. Earn awards of
    one purchase with the same `activates_at`, `expires_at` and `terms` are one lot. `budget`: what
    it uses of a budget over all members.
    """

    rule: str
    kind: str
    value: int
    points: int
    granted_at: Instant
    activates_at: Instant
    expires_at: Instant | None = None
    matched_amount: int = 0
    lines: tuple[LineShare, ...] = ()
    lot: int = NO_LOT
    capped: tuple[Cap, ...] = ()
    counts_for_tier: bool = False
    counters: tuple[str, ...] = ()
    terms: Terms | None = None
    budget: BudgetShare | None = None


class TierChange(Struct, frozen=True, array_like=True, gc=False):
    """From `at` on the tier is `to` (a level's id, or `none`). It replaces every change that was
    recorded for `at` or later (a late input's change); `previous` is what was held then."""

    at: Instant
    previous: str
    to: str


class Effect(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a decision asks of another account; the effects publisher sends it to `effects`.

    `type` and `data` are those of the input event that the target will get; its id is
    `shard:position:n`, its time `occurred_at`, its subject `target`.
    """

    target: str
    type: str
    occurred_at: Instant
    data: Raw


class Cause(Struct, frozen=True, array_like=True, gc=False):
    """The input event that led here: CloudEvents source and id."""

    source: str
    id: str


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """What every account event carries. `program`: the version in force at `occurred_at`.

    `late_by`: microseconds by which the input was older than what the account was settled to.
    `addressed`: the member whom the input named, where that account was merged into this one.
    """

    occurred_at: Instant
    program: str = ""
    cause: Cause | None = None
    postings: tuple[Posting, ...] = ()
    tier_changes: tuple[TierChange, ...] = ()
    late_by: int = 0
    effects: tuple[Effect, ...] = ()
    addressed: str = ""


class AccountSettled(Decision, frozen=True, kw_only=True, tag="AccountSettled"):
    """The account was brought up to `occurred_at`: what fell due, in the order it fell due.

    `refused_returns`: ids of waiting returns whose deadline passed (`MEMBER/ID` of a return that
    named a member merged into this one). `lot_expiries`: new expiries of lots to which a lapsed
    reservation gave back points (restore_grace). `forfeited`: the notice of a closed account ended,
    what was left is revoked. `awards`: the welcome awards of tier changes; their grants are the
    first postings. `activated`: lots that an input's event reached: (lot, from when on it is
    available, when it expires)."""

    lapsed: tuple[str, ...] = ()
    refused_returns: tuple[str, ...] = ()
    lot_expiries: tuple[tuple[int, Instant | None], ...] = ()
    forfeited: bool = False
    awards: tuple[Award, ...] = ()
    activated: tuple[tuple[int, Instant, Instant | None], ...] = ()


class CodeFact(Struct, frozen=True, array_like=True, gc=False):
    """What promo code number `place` (0-based) of a purchase came to. `status`: ok | unknown |
    spent | expired | not_yet | not_yours | used_by_member; `series`: the one that it belongs to."""

    place: int
    status: str
    series: str = ""


class CodeUse(Struct, frozen=True, array_like=True, gc=False):
    """A promo code of `series` that awards used. `code`: the digest of a generated code, in hex;
    `budget`: by which the uses of a fixed code are counted, if they are."""

    series: str
    code: str = ""
    budget: str = ""


class Facts(Struct, frozen=True, omit_defaults=True, gc=False):
    """Facts from outside the account that a decision used, copied onto its event (invariant 9).

    `order_known`: for a return, whether its purchase was ever taken as an input (by the dedupe
    rows), whether or not the account's state still holds the order. `referrer_status`: open |
    frozen | closed | merged | erased | unknown (no such account). `tags`, `segments`, `birthdays`:
    those that the program's rules ask for and that held, None where they ask for none; `birthdays`
    are windows around the member's birthday, `-7+14` for 7 days before to 14 days after.
    `other_status`: the status of the second account of a transfer or merge; `other_merged`: how
    many were merged into that one. `reward_given`, `codes_loaded`: of
    the catalogue reward claimed, how many units were given before, and how many voucher codes were
    ever loaded. `budgets`: of each budget that an award asked for, what there was for this
    decision: all that was left where an award did not fit, else just what the awards use. `codes`:
    what the promo codes named came to, where the program has any.
    """

    tags: tuple[str, ...] | None = None
    segments: tuple[str, ...] | None = None
    referrer_status: str | None = None
    referrer_referred_by: str | None = None
    order_known: bool | None = None
    birthdays: tuple[str, ...] | None = None
    other_status: str | None = None
    other_merged: int = 0
    reward_given: int | None = None
    codes_loaded: int | None = None
    budgets: tuple[BudgetShare, ...] = ()
    codes: tuple[CodeFact, ...] = ()


class PurchaseRewarded(Decision, frozen=True, kw_only=True, tag="PurchaseRewarded"):
    """A purchase was judged. `tier`: the one it was judged with. `referral`: what it did to the
    member's open referral (`qualified`, `closed`). `month`: the start of the local month, or with a
    rolling window of the local day, whose tier amounts it counts in. Returns are accepted up to and
    including `returnable_until`. `idle`: to which moments it moves the points that expire after
    inactivity. `shared`: the order, if the member's referrer gets a share of it, with its points.
    `codes`: the promo codes that its awards used."""

    purchase: PurchaseData
    month: Instant
    returnable_until: Instant
    tier: str = "none"
    awards: tuple[Award, ...] = ()
    referral: str | None = None
    redemption_unknown: bool = False
    facts: Facts | None = None
    codes: tuple[CodeUse, ...] = ()
    idle: Idle = ()
    shared: tuple[tuple[str, int], ...] = ()


WHOLE_AWARD = -1
"""The line of a clawback that is not for a line: lines are counted from 0."""


class LineReturned(Struct, frozen=True, array_like=True, gc=False):
    """Of line `line` (0-based) `amount` minor units came back with this return."""

    line: int
    amount: int


class Clawback(Struct, frozen=True, omit_defaults=True, gc=False):
    """Of award `award` (0-based index in the order's event), for line `line`: `points` were due
    back; `taken` of them were taken, `expired` had expired unspent, `let_go` the policy let go.

    `line` WHOLE_AWARD: a referral's reward, taken back whole; `award` then counts the awards of
    PurchaseRewarded and after them those of ReferralAccepted."""

    award: int
    line: int
    points: int
    taken: int
    expired: int = 0
    let_go: int = 0


class WelcomeTakenBack(Struct, frozen=True, omit_defaults=True, gc=False):
    """The welcome award of `level` is taken back whole: `points`, of which `taken` were taken,
    `expired` had expired unspent, `let_go` the policy let go. The level may welcome again."""

    level: str
    points: int
    taken: int
    expired: int = 0
    let_go: int = 0


class PurchaseReturned(Decision, frozen=True, kw_only=True, tag="PurchaseReturned"):
    """A return was applied. `counters`: limit counters given back as (key, points, times).

    `referral` `taken_back`: what is left of the order no longer qualifies. `lot_expiries`: new
    expiries of lots to which points spent on the order were restored. `welcomes`: those taken back
    with the tier that the return took away. `budgets`: what of budgets is given back, because whole
    awards were taken back. `codes`: promo codes given back with the whole order. `restored`: where
    several redemptions had paid, what each got back; the lots are in the postings."""

    returned: ReturnData
    lines: tuple[LineReturned, ...]
    clawbacks: tuple[Clawback, ...] = ()
    counters: tuple[tuple[str, int, int], ...] = ()
    referral: str | None = None
    lot_expiries: tuple[tuple[int, Instant | None], ...] = ()
    budgets: tuple[BudgetShare, ...] = ()
    codes: tuple[CodeUse, ...] = ()
    welcomes: tuple[WelcomeTakenBack, ...] = ()
    restored: tuple[tuple[str, int], ...] = ()


class ReturnWaiting(Decision, frozen=True, kw_only=True, tag="ReturnWaiting"):
    """A return whose purchase has not arrived; refused at `deadline`."""

    returned: ReturnData
    deadline: Instant


class InputRefused(Decision, frozen=True, kw_only=True, tag="InputRefused"):
    """A business refusal: no postings, and the input's key is used up. `facts`: what it may rest
    on of what was known beside the account."""

    input_type: str
    code: str
    message: str
    data: Raw
    facts: Facts | None = None


class ReferralAccepted(Decision, frozen=True, kw_only=True, tag="ReferralAccepted"):
    """The member was brought in by `referrer_id`. When the first purchase is already there it is
    judged at once: `referral` and `awards` as in PurchaseRewarded, for order `order_id`; `shared`:
    this and later orders of which the referrer gets a share, with the points."""

    referrer_id: str
    code: str
    facts: Facts | None = None
    referral: str | None = None
    order_id: str | None = None
    awards: tuple[Award, ...] = ()
    shared: tuple[tuple[str, int], ...] = ()


class SurveyRewarded(Decision, frozen=True, kw_only=True, tag="SurveyRewarded"):
    """A survey was completed and rewarded; with no points where its budget had too little left, and
    then a later completion can still be rewarded. `month`: as in PurchaseRewarded; None: its points
    do not count for tiers."""

    survey_id: str
    completion_id: str
    score: int | None = None
    awards: tuple[Award, ...] = ()
    month: Instant | None = None
    facts: Facts | None = None


class ActivityRewarded(Decision, frozen=True, kw_only=True, tag="ActivityRewarded"):
    """An activity was judged. `tier`: the one it was judged with. `month`: as in PurchaseRewarded;
    None: no points of it count for tiers."""

    activity: ActivityData
    tier: str = "none"
    awards: tuple[Award, ...] = ()
    month: Instant | None = None
    facts: Facts | None = None


class RewardReceived(Decision, frozen=True, kw_only=True, tag="RewardReceived"):
    """A reward that a decision on another account (the referee's) led to. It can be taken back up
    to `returnable_until`."""

    kind: str
    referee_id: str
    order_id: str
    returnable_until: Instant
    awards: tuple[Award, ...] = ()


class RewardTakenBack(Decision, frozen=True, kw_only=True, tag="RewardTakenBack"):
    """A reward is taken back: the order behind it no longer qualifies, or came back in part.
    `counters`: limits given back as (key, points, times), when it is gone whole."""

    kind: str
    referee_id: str
    order_id: str
    clawbacks: tuple[Clawback, ...] = ()
    counters: tuple[tuple[str, int, int], ...] = ()


class PointsReserved(Decision, frozen=True, kw_only=True, tag="PointsReserved"):
    """Points are held; the lots they come from are in the postings. `basket`: what they are to pay
    for, where a limit asked. `counter`: the key of the day's counter that they count in."""

    reservation_id: str
    points: int
    lapses_at: Instant
    basket: tuple[BasketLine, ...] | None = None
    counter: str | None = None


class ReservationConfirmed(Decision, frozen=True, kw_only=True, tag="ReservationConfirmed"):
    """`points` of a reservation were spent, the rest went back to its lots. A return of what they
    were spent on can restore them up to `returnable_until` (or the order's, if that is later); what
    had come back before is restored at once (postings from `redeemed`)."""

    reservation_id: str
    points: int
    returnable_until: Instant
    order_id: str | None = None
    lot_expiries: tuple[tuple[int, Instant | None], ...] = ()


class ReservationCancelled(Decision, frozen=True, kw_only=True, tag="ReservationCancelled"):
    """A reservation was released: the same points to the same lots (restore_grace applied)."""

    reservation_id: str
    lot_expiries: tuple[tuple[int, Instant | None], ...] = ()


class PointsRedeemed(Decision, frozen=True, kw_only=True, tag="PointsRedeemed"):
    """Points were spent at once. The rest as in PointsReserved and ReservationConfirmed."""

    redemption_id: str
    points: int
    returnable_until: Instant
    order_id: str | None = None
    basket: tuple[BasketLine, ...] | None = None
    counter: str | None = None


class PointsAdjusted(Decision, frozen=True, kw_only=True, tag="PointsAdjusted"):
    """`actor` gave or, below 0, took `points` by hand, for `reason`. `awards`: the one that opens
    the lot of given points; it counts for nothing and is not among the points granted."""

    points: int
    reason: str
    actor: str
    allow_debt: bool = False
    awards: tuple[Award, ...] = ()


class PointsDonated(Decision, frozen=True, kw_only=True, tag="PointsDonated"):
    """Points were given to a charity."""

    charity_id: str
    points: int
    counter: str | None = None


class RewardClaimed(Decision, frozen=True, kw_only=True, tag="RewardClaimed"):
    """A reward of the catalogue was taken for `points`. `kind`: gift | voucher. `number`: which
    unit it is, from 1; of a voucher the number of its code, which the log does not hold. None for
    a gift that is not counted."""

    reward_id: str
    kind: str
    points: int
    number: int | None = None
    counter: str | None = None
    facts: Facts | None = None


class TierOverridden(Decision, frozen=True, kw_only=True, tag="TierOverridden"):
    """The tier was set by hand: `tier` holds over the qualified one until `until`, instead of what
    was set by hand before. `awards`: the welcome, if it is one up to a new level."""

    tier: str
    until: Instant
    actor: str
    reason: str
    awards: tuple[Award, ...] = ()


class MemberProfiled(Decision, frozen=True, kw_only=True, tag="MemberProfiled"):
    """The member's profile was set (`enrolled`) or changed (`updated`), or a program version asked
    something new of it (`recomputed`): of a profile only the outcome of each of the program's
    conditions is kept, by the condition's id."""

    kind: str
    outcomes: dict[str, bool] = {}


class MemberErased(Decision, frozen=True, kw_only=True, tag="MemberErased"):
    """The profile is gone and the balance forfeited; the ledger stays under the opaque id.
    `refused_returns`: ids of the returns that were still waiting."""

    reason: str | None = None
    refused_returns: tuple[str, ...] = ()


class AccountFrozen(Decision, frozen=True, kw_only=True, tag="AccountFrozen"):
    """From now on the account earns and cannot spend."""

    actor: str
    reason: str


class AccountUnfrozen(Decision, frozen=True, kw_only=True, tag="AccountUnfrozen"):
    """The account can spend again."""

    actor: str
    reason: str


class AccountClosed(Decision, frozen=True, kw_only=True, tag="AccountClosed"):
    """The account takes no inputs from now on. At `forfeits_at` what is left is revoked; None: it
    was at once, by the postings here. `refused_returns`: returns that were still waiting."""

    actor: str
    reason: str
    forfeits_at: Instant | None = None
    refused_returns: tuple[str, ...] = ()


class MovedLot(Struct, frozen=True, array_like=True, gc=False):
    """A lot that goes from one account to another, with the moments that it had there. `granted`:
    most that it can hold; what it does hold is in the postings."""

    lot: int
    granted: int
    granted_at: Instant
    activates_at: Instant
    expires_at: Instant | None
    source: str = ""
    terms: Terms | None = None


class PointsSent(Decision, frozen=True, kw_only=True, tag="PointsSent"):
    """`points` were given to member `to`, whose account has a `PointsReceived` of the same input.
    `lots`: what was drawn from which lot. `counters`: the limits that it counts against."""

    to: str
    points: int
    lots: tuple[MovedLot, ...]
    counters: tuple[str, ...] = ()
    facts: Facts | None = None


class PointsReceived(Decision, frozen=True, kw_only=True, tag="PointsReceived"):
    """`points` came from member `sender`, in new lots that activate and expire as theirs did."""

    sender: str
    points: int
    lots: tuple[MovedLot, ...]


class AccountMerged(Decision, frozen=True, kw_only=True, tag="AccountMerged"):
    """The account ended: all it held is in the account of `into`, which has an `AccountAbsorbed` of
    the same input. Later inputs are forwarded."""

    into: str
    actor: str
    reason: str
    facts: Facts | None = None


class AccountAbsorbed(Decision, frozen=True, kw_only=True, tag="AccountAbsorbed"):
    """The account of `merged` went over into this one. `lots`: its lots, under the numbers that
    they have here; `next_lot`: the number after them. `kept`: what it remembered beside its points
    (`ledger.core.kept.Kept`)."""

    merged: str
    actor: str
    reason: str
    next_lot: int
    kept: Raw
    lots: tuple[MovedLot, ...] = ()


class InputForwarded(Decision, frozen=True, kw_only=True, tag="InputForwarded"):
    """The account was merged: the input was decided on the account of `to`, in the same append."""

    to: str
    input_type: str


class AnonymousPurchaseRecorded(
    Decision, frozen=True, kw_only=True, tag="AnonymousPurchaseRecorded"
):
    """A purchase without a member, counted for participation only."""

    purchase: PurchaseData


class LedgerCreated(Decision, frozen=True, kw_only=True, tag="LedgerCreated"):
    """First event of the system shard: what can never change."""

    ledger_id: str
    program_id: str
    currency: str
    time_zone: str
    shards: int


class ProgramPublished(Decision, frozen=True, kw_only=True, tag="ProgramPublished"):
    """A program version takes effect at `effective_from`. `content`: its canonical JSON."""

    version: str
    effective_from: Instant
    content: Raw


class RfmBoundsSet(Decision, frozen=True, kw_only=True, tag="RfmBoundsSet"):
    """Quintile bounds over all members as of `as_of` (four inner bounds each, rising):
    days since the last purchase, purchases and minor units over the last 365 days."""

    as_of: Instant
    members: int
    recency_days: tuple[int, ...]
    frequency: tuple[int, ...]
    monetary: tuple[int, ...]


class RestoreDeclared(Decision, frozen=True, kw_only=True, tag="RestoreDeclared"):
    """The database was restored to before checkpoint `number`, which others have: `checkpoint` is
    the hash of its content. `lost`: per shard that no longer holds the checkpoint's head, where its
    log ended when this was declared, and where it had ended: (shard, position, position)."""

    actor: str
    reason: str
    number: int
    checkpoint: str
    lost: tuple[tuple[int, int, int], ...]


AccountEvent = (
    AccountSettled
    | PurchaseRewarded
    | PurchaseReturned
    | ReturnWaiting
    | InputRefused
    | ReferralAccepted
    | SurveyRewarded
    | ActivityRewarded
    | RewardReceived
    | RewardTakenBack
    | PointsReserved
    | ReservationConfirmed
    | ReservationCancelled
    | PointsRedeemed
    | PointsAdjusted
    | PointsDonated
    | RewardClaimed
    | TierOverridden
    | MemberProfiled
    | MemberErased
    | AccountFrozen
    | AccountUnfrozen
    | AccountClosed
    | PointsSent
    | PointsReceived
    | AccountMerged
    | AccountAbsorbed
    | InputForwarded
    | AnonymousPurchaseRecorded
)
SystemEvent = LedgerCreated | ProgramPublished | RfmBoundsSet | RestoreDeclared
LogEvent = AccountEvent | SystemEvent
