"""A member's history as the segments see it: purchases, money, categories, profile, balance.

Folded from the same events as the account, and kept beside it in the runner's memory. It holds what
the account forgets (the account keeps only what a decision may need); it is never stored.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from schemas.decisions import (
    NO_LOT,
    AccountAbsorbed,
    AccountClosed,
    AccountEvent,
    AccountMerged,
    AccountSettled,
    ActivityRewarded,
    MemberErased,
    MemberProfiled,
    PointsAdjusted,
    PointsReceived,
    PostingAccount,
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    RewardReceived,
    SurveyRewarded,
    TierChange,
    TierOverridden,
)
from schemas.fields import Instant

_AVAILABLE = PostingAccount.AVAILABLE.value
_PENDING = PostingAccount.PENDING.value
_RESERVED = PostingAccount.RESERVED.value
_EXPIRED = PostingAccount.EXPIRED.value
_ISSUED = PostingAccount.ISSUED.value


class Change:
    """What postings of one moment changed, in points. `available` is net of debt."""

    __slots__ = ("available", "debt", "expired", "granted", "pending", "reserved")

    def __init__(self) -> None:
        self.available = self.pending = self.reserved = 0
        self.expired = self.granted = self.debt = 0

    def __bool__(self) -> bool:
        return bool(
            self.available
            or self.pending
            or self.reserved
            or self.expired
            or self.granted
            or self.debt
        )


def changes_of(event: AccountEvent) -> dict[Instant, Change]:
    """What the event changed, by the moment from which it holds in the world (`effective_at`)."""
    found: dict[Instant, Change] = {}
    for posting in event.postings:
        change = found.get(posting.effective_at)
        if change is None:
            change = found[posting.effective_at] = Change()
        account, points = posting.account, posting.points
        if account == _AVAILABLE:
            change.available += points
            if posting.lot == NO_LOT:
                change.debt -= points
        elif account == _PENDING:
            change.pending += points
        elif account == _RESERVED:
            change.reserved += points
        elif account == _EXPIRED:
            change.expired += points
        elif account == _ISSUED:
            change.granted -= points
    return found


WITH_AWARDS = (
    PurchaseRewarded,
    ReferralAccepted,
    SurveyRewarded,
    ActivityRewarded,
    RewardReceived,
    PointsAdjusted,
    AccountSettled,
    TierOverridden,
)
"""The events that open lots, by awards."""

WITH_LOTS = (PointsReceived, AccountAbsorbed)
"""The events that bring lots from another account."""


def rule_of(event: PointsReceived | AccountAbsorbed) -> str:
    """What is told as the rule of lots that came from another account."""
    return "transfer" if isinstance(event, PointsReceived) else "merge"


RULES_SHARED = 4_096
"""Combinations of rules kept as one tuple each; a program makes some dozens."""


@lru_cache(maxsize=RULES_SHARED)
def _shared_rules(rules: tuple[str, ...]) -> tuple[str, ...]:
    return rules


class Keep(NamedTuple):
    """What a history holds only if a segment looks at it."""

    balance: bool = False
    categories: bool = False


class History:
    """`purchases`: moments, in order of arrival. `money`: (from, until-order moment, minor units).

    `balance`, changes of available by effective moment, and `categories` are kept on demand.
    `elsewhere`: orders that came with a merged account; their money counts for the member who paid.
    """

    __slots__ = (
        "_keep_categories",
        "balance",
        "categories",
        "elsewhere",
        "ended_at",
        "lot_rules",
        "money",
        "opened_at",
        "outcomes",
        "purchases",
        "tier_changes",
    )

    def __init__(self, keep: Keep) -> None:
        self.opened_at: Instant | None = None
        self.ended_at: Instant | None = None
        self.elsewhere: frozenset[str] = frozenset()
        self.purchases: list[Instant] = []
        self.money: list[tuple[Instant, Instant, int]] = []
        self.categories: dict[str, Instant] = {}
        self.lot_rules: dict[int, tuple[str, ...]] = {}
        self.outcomes: list[tuple[Instant, Mapping[str, bool]]] = []
        self.tier_changes: list[TierChange] = []
        self.balance: list[tuple[Instant, int]] | None = [] if keep.balance else None
        self._keep_categories = keep.categories

    def fold(self, event: AccountEvent, bought_at: Instant | None) -> None:
        """Take one more event of the member, in the log's order. `bought_at`: of a return, when
        its order was bought."""
        at = event.occurred_at
        if self.opened_at is None or at < self.opened_at:
            self.opened_at = at
        self.tier_changes.extend(event.tier_changes)
        if self.balance is not None:
            self.balance.extend(
                (moment, change.available)
                for moment, change in changes_of(event).items()
                if change.available
            )
        if isinstance(event, WITH_LOTS):
            for lot in event.lots:
                self.lot_rules[lot.lot] = (rule_of(event),)
        if isinstance(event, WITH_AWARDS):
            for award in event.awards:
                if award.points:
                    rules = (*self.lot_rules.get(award.lot, ()), award.rule)
                    self.lot_rules[award.lot] = _shared_rules(rules)
        match event:
            case PurchaseRewarded():
                self._purchase(event, at)
            case PurchaseReturned():
                if event.returned.order_id not in self.elsewhere:
                    self.money.append((at, bought_at or at, -returned_amount(event)))
            case MemberProfiled():
                self.outcomes.append((at, event.outcomes))
            case MemberErased() | AccountClosed() | AccountMerged():
                if self.ended_at is None or at < self.ended_at:
                    self.ended_at = at
            case _:
                pass

    def _purchase(self, event: PurchaseRewarded, at: Instant) -> None:
        purchase = event.purchase
        self.purchases.append(at)
        self.money.append((at, at, purchase_amount(event)))
        for line in purchase.lines if self._keep_categories else ():
            if line.category is not None:
                first = self.categories.get(line.category)
                if first is None or at < first:
                    self.categories[line.category] = at


def purchase_amount(event: PurchaseRewarded) -> int:
    """What was paid in money, minor units."""
    return sum(line.amount for line in event.purchase.lines)


def returned_amount(event: PurchaseReturned) -> int:
    """What was given back in money, minor units."""
    return sum(line.amount for line in event.lines)
