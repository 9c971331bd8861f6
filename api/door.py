"""Concurrent changes go through the one door in groups, each of which costs one transaction.

A call that ends without an answer (the database went away) is made again, once, because the ledger
knows each change by its key.

Of a change without a moment of its own, which comes again, the moment is that of the first. Nearly
none comes again, so that nobody looks for it before: the ledger refuses a group with such a one,
and then it is looked for.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from api.groups import Groups
from ledger.application import Ledger
from ledger.core.calendar import from_instant
from ledger.dedupe import key_of
from ledger.errors import DatabaseUnavailable, TakenBefore
from ledger.received import Outcome, Received, asked
from ledger.taken import Taken
from schemas.inputs import InputEvent

GROUP_MAX = 50
"""Changes of one append: as many as the ledger decides under its locks in two round trips."""

GROUPS_MAX = 2
"""Appends at once: while PostgreSQL commits one, the next is decided."""

WAITING_MAX = 1_000
"""Changes that wait: a second's worth. More are turned away at once."""

TRIES = 2
"""How often a change is handed to the ledger when the database did not answer."""

REPEATS_MAX = GROUP_MAX + 1
"""How often a group is handed over because of changes that came before: each time one more of it
is known at the least."""


class Answer(Struct, frozen=True):
    """How a change ended. `before`: what was decided when it came the first time, for one that is
    known by its key already."""

    outcome: Outcome
    before: Taken | None = None


class _Change(Struct, frozen=True):
    event: InputEvent
    key: bytes
    timed: bool


class Door:
    """Hands changes to the ledger. `change` may be called by any number of tasks of one loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # A change that comes twice at once: when the second is looked for, the first is stored.
        self.groups: Groups[_Change, Answer] = Groups(
            self._answers,
            size=GROUP_MAX,
            at_once=GROUPS_MAX,
            waiting=WAITING_MAX,
            of_all=lambda error: isinstance(error, DatabaseUnavailable),
            key=lambda change: change.key,
        )

    async def change(self, event: InputEvent, *, timed: bool) -> Answer:
        """Decide and append. `timed`: the caller named the moment; else it is now, unless the same
        change came before. Raises Full, DatabaseUnavailable, AppendFailed."""
        return await self.groups.add(_Change(event, key_of(event), timed))

    async def close(self) -> None:
        """Let everything that was taken end."""
        await self.groups.close()

    async def _answers(self, group: Sequence[_Change]) -> list[Answer]:
        outcomes, taken = await self._outcomes(group)
        repeated = [n for n, outcome in enumerate(outcomes) if outcome.kind == "duplicate"]
        more = [group[n].event for n in repeated if group[n].key not in taken]
        if more:
            taken |= await self._ledger.taken(more)
        answers = [Answer(outcome) for outcome in outcomes]
        for n in repeated:
            answers[n] = Answer(outcomes[n], taken.get(group[n].key))
        return answers

    async def _outcomes(self, group: Sequence[_Change]) -> tuple[list[Outcome], dict[bytes, Taken]]:
        """How the changes ended, and what is known of those that were looked for."""
        taken: dict[bytes, Taken] = {}
        untimed = [each.event for each in group if not each.timed]
        for _ in range(REPEATS_MAX):
            items = [_at_its_time(each, taken) for each in group]
            try:
                return await self._handle(items), taken
            except TakenBefore:
                taken |= await self._ledger.taken(untimed)
        raise AssertionError("each change of a group comes before at most once")

    async def _handle(self, items: Sequence[Received]) -> list[Outcome]:
        """Raises AppendFailed when the database refuses the rows of the one event it has."""
        for tried in range(1, TRIES + 1):
            try:
                return await self._ledger.handle(items)
            except DatabaseUnavailable:
                if tried == TRIES:
                    raise
        raise AssertionError("the last try returns or raises")


def _at_its_time(change: _Change, taken: dict[bytes, Taken]) -> Received:
    """The change at the moment at which it came first, if it did."""
    found = None if change.timed else taken.get(change.key)
    if found is None:
        return asked(change.event, timed=change.timed, keyed=True)
    return asked(replace(change.event, time=from_instant(found.occurred_at)), keyed=True)
