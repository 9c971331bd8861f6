"""What rules ask about a member that no account holds: the birthday, and the segments of a moment.

The birthday is in the profiles' own table, which can be erased, and goes nowhere else: of it a
decision learns only which of the program's windows hold. Segments are what the read model says when
the batch is read. Nothing is asked for a program without such a rule, and nothing again for an
input that was taken before.
"""

from collections.abc import Set
from datetime import date

from msgspec import UNSET

from ledger import lookups, profiles
from ledger.batch import Batch
from ledger.core.account import ANONYMOUS
from ledger.core.context import NO_FACTS
from ledger.core.program.asked import Asked, birthday_holds, window_id
from ledger.core.program.timeline import NoProgram, Timeline
from ledger.linked import may_decide
from ledger.lookups import Connection
from ledger.work import Work
from schemas.decisions import AccountEvent, Facts, MemberProfiled
from schemas.inputs import (
    ActivityCompleted,
    InputEvent,
    MemberEnrolled,
    MemberUpdated,
    PurchaseCompleted,
)

REWARDED: tuple[type[InputEvent], ...] = (PurchaseCompleted, ActivityCompleted)
"""Inputs that earn rules judge."""


async def read_member_facts(
    connection: Connection, batch: Batch, shards: Set[int], programs: Timeline
) -> None:
    """Read what the rules ask about the members of these shards."""
    members: list[str] = []
    moments: list[lookups.MemberMoment] = []
    segments: set[str] = set()
    for work in batch.of_types(*REWARDED):
        if work.shard not in shards or (work.shard, work.key) in batch.stored:
            continue
        asked = _asked(work, programs)
        if asked is None:
            continue
        for member_id in may_decide(batch, work):
            if asked.birthdays:
                members.append(member_id)
            if asked.segments:
                moments.append((member_id, work.item.occurred_at))
                segments.update(asked.segments)
    if members:
        known = await profiles.known_birthdays(connection, members)
        batch.birthdays.update({member: known.get(member) for member in members})
    if moments:
        batch.segments.update(await lookups.segments_at(connection, moments, sorted(segments)))


def _asked(work: Work, programs: Timeline) -> Asked | None:
    """What the program in force at the input's moment asks beyond the account."""
    if work.member_id == ANONYMOUS:
        return None
    try:
        asked = programs.at(work.item.occurred_at).asked
    except NoProgram:
        return None  # deciding will say so
    return asked if asked is not None and asked.outside else None


def member_facts(batch: Batch, work: Work, member_id: str, programs: Timeline) -> Facts:
    """The facts that the rules ask for about the member whose account decides on the input."""
    asked = _asked(work, programs)
    if asked is None:
        return NO_FACTS
    at = work.item.occurred_at
    birthdays = segments = None
    if asked.birthdays:
        birthday, zone = batch.birthdays[member_id], programs.at(at).zone
        birthdays = tuple(
            window_id(window)
            for window in asked.birthdays
            if birthday is not None and birthday_holds(window, birthday, at, zone)
        )
    if asked.segments:
        held = batch.segments[member_id, at]
        segments = tuple(segment for segment in asked.segments if segment in held)
    return Facts(birthdays=birthdays, segments=segments)


def note_birthday(batch: Batch, work: Work, decision: AccountEvent | None) -> None:
    """A profile changed within the batch: what comes after it knows the new birthday. (After an
    erasure nothing is decided for the member any more.)"""
    if work.member_id not in batch.birthdays:
        return
    if isinstance(decision, MemberProfiled):
        event = work.item.event
        if isinstance(event, MemberEnrolled | MemberUpdated):
            told = event.data.profile.birthday
            if isinstance(told, date) or told is None:
                batch.birthdays[work.member_id] = told
            elif told is UNSET and isinstance(event, MemberEnrolled):
                batch.birthdays[work.member_id] = None
