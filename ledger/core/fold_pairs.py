"""Folding what two accounts share: points given and received, an account that went over."""

import msgspec

from ledger.core.account import Account
from ledger.core.errors import InvariantBroken
from ledger.core.fold_standing import forget_all
from ledger.core.kept import Kept, take_over
from schemas.decisions import (
    AccountAbsorbed,
    AccountMerged,
    MovedLot,
    PointsReceived,
    PointsSent,
    Posting,
)

_kept: msgspec.json.Decoder[Kept] = msgspec.json.Decoder(Kept)


def fold_sent(account: Account, event: PointsSent) -> None:
    """Count against the limits of giving."""
    for key in event.counters:
        points, times = account.used.get(key, (0, 0))
        account.used[key] = (points + event.points, times + 1)
        account.used_at.pop(key, None)
        account.used_at[key] = event.occurred_at


def before_receiving(account: Account, event: PointsReceived) -> int:
    """Open the lots. Raises InvariantBroken (3, 4)."""
    _check(event.lots, event.postings)
    for lot in event.lots:
        account.holdings.receive(lot)
    return 0


def before_absorbing(account: Account, event: AccountAbsorbed) -> int:
    """Open the lots, and take over what the other account remembered, which names them by the same
    numbers. Raises InvariantBroken (3)."""
    for lot in event.lots:
        account.holdings.receive(lot)
    if event.next_lot < account.holdings.next_lot:
        raise InvariantBroken(3, f"lot {event.next_lot} is next where more came")
    account.holdings.next_lot = event.next_lot
    # Before the postings: what of these lots expires with them is kept for returns of their orders.
    take_over(account, _kept.decode(event.kept))
    return 0


def _check(lots: tuple[MovedLot, ...], postings: tuple[Posting, ...]) -> None:
    """What is received is what the lots are worth, no more. Raises InvariantBroken (4)."""
    came = -sum(posting.points for posting in postings if posting.account == "transferred")
    if came != sum(lot.granted for lot in lots):
        raise InvariantBroken(4, f"{came} points came in other lots than named")


def fold_merged(account: Account, event: AccountMerged) -> None:
    """The account is empty and passes on what comes."""
    account.status = "merged"
    account.merged_into = event.into
    account.months = {}
    account.lifetime = (0, 0, 0)
    forget_all(account)
