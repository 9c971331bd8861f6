"""What had happened to an account by a moment of the world, as events: for a history as of then.

An event belongs to the moment when it happened (`occurred_at`), not to its place in the log. What
time alone did is recorded later than it fell due, so of an `AccountSettled` that lies beyond the
moment only what had fallen due counts; and what no event records yet, the ledger's own settle
tells.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from ledger.core.account import Account
from ledger.core.fold import evolve
from ledger.core.program.timeline import Timeline
from ledger.core.settle import settle
from schemas.decisions import AccountEvent, AccountSettled
from schemas.fields import Instant


def happened_by(
    member_id: str, events: Iterable[AccountEvent], at: Instant, programs: Timeline
) -> list[tuple[int | None, AccountEvent]]:
    """The events that had happened by `at`, in the log's order, each with its place in `events`.

    `events` are all of the member's. The last may have no place (None): what had fallen due since,
    which the log will record when the account is settled next. Empty before the account opened.
    """
    account = Account.new(member_id)
    found: list[tuple[int | None, AccountEvent]] = []
    for place, event in enumerate(events):
        evolve(account, event)
        if event.occurred_at <= at:
            found.append((place, event))
        elif isinstance(event, AccountSettled):
            part = _part(event, at)
            if part is not None:
                found.append((place, part))
    if found and at > account.settled_to:
        due = settle(account, at, programs)
        if due is not None:
            found.append((None, due))
    return found


def _part(event: AccountSettled, at: Instant) -> AccountSettled | None:
    """What of the event had fallen due by `at`; None if nothing had."""
    postings = tuple(posting for posting in event.postings if posting.effective_at <= at)
    changes = tuple(change for change in event.tier_changes if change.at <= at)
    if not postings and not changes:
        return None
    # Which reservations and returns had lapsed by then the event does not tell: its postings do.
    return replace(
        event,
        occurred_at=at,
        postings=postings,
        tier_changes=changes,
        awards=tuple(award for award in event.awards if award.granted_at <= at),
        activated=tuple(reached for reached in event.activated if reached[1] <= at),
        lapsed=(),
        refused_returns=(),
    )
