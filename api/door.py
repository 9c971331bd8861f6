"""Concurrent changes go through the one door in groups: what waits during an append is the next.

A group of changes costs one transaction, so that many callers at once cost hardly more than one. No
change waits for others to come: the first one goes alone. A call that ends without an answer (the
database went away) is made again, once, because the ledger knows each change by its key.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.core.calendar import from_instant
from ledger.dedupe import key_of
from ledger.errors import DatabaseUnavailable
from ledger.received import Outcome, asked
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


class DoorFull(Exception):
    """More changes wait than WAITING_MAX."""


class Answer(Struct, frozen=True):
    """How a change ended. `before`: what was decided when it came the first time, for one that is
    known by its key already."""

    outcome: Outcome
    before: Taken | None = None


class _Waiting(Struct):
    event: InputEvent
    timed: bool
    answer: asyncio.Future[Answer]


class Door:
    """Hands changes to the ledger. `change` may be called by any number of tasks of one loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[_Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self.groups = 0
        self.changes = 0

    async def change(self, event: InputEvent, *, timed: bool) -> Answer:
        """Decide and append. `timed`: the caller named the moment; else it is now, unless the same
        change came before. Raises DoorFull, DatabaseUnavailable, AppendFailed."""
        if len(self._waiting) >= WAITING_MAX:
            raise DoorFull
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(event, timed, answer))
        self._start()
        return await answer

    async def close(self) -> None:
        """Let everything that was taken end."""
        while self._running:
            await asyncio.wait(set(self._running))

    def _start(self) -> None:
        """Begin groups while there is something to do and a group is free."""
        while self._waiting and len(self._running) < GROUPS_MAX:
            count = min(GROUP_MAX, len(self._waiting))
            group = [self._waiting.popleft() for _ in range(count)]
            task = asyncio.create_task(self._carry_out(group))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _carry_out(self, group: list[_Waiting]) -> None:
        try:
            answers = await self._answers(group)
        except BaseException as error:
            if len(group) > 1 and isinstance(error, Exception) and not _of_all(error):
                for each in group:  # one of them is at fault: the others must not suffer for it
                    await self._carry_out([each])
                return
            for each in group:
                if not each.answer.done():
                    each.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        self.groups += 1
        self.changes += len(group)
        for each, answer in zip(group, answers, strict=True):
            if not each.answer.done():  # else the caller has gone
                each.answer.set_result(answer)

    async def _answers(self, group: Sequence[_Waiting]) -> list[Answer]:
        untimed = [each.event for each in group if not each.timed]
        taken = await self._ledger.taken(untimed) if untimed else {}
        events = [_at_its_time(each, taken) for each in group]
        outcomes = await self._handle(events)
        again = [n for n, outcome in enumerate(outcomes) if _known(outcome)]
        if not again:
            return [Answer(outcome) for outcome in outcomes]
        taken = await self._ledger.taken([events[n] for n in again])
        # A change without a moment of its own that came twice at once: the second has another one.
        late = [n for n in again if outcomes[n].kind != "duplicate" and not group[n].timed]
        if late:
            moved = [_at_its_time(group[n], taken) for n in late]
            for n, outcome in zip(late, await self._handle(moved), strict=True):
                outcomes[n] = outcome
        return [
            Answer(outcome, taken.get(key_of(event)) if outcome.kind == "duplicate" else None)
            for event, outcome in zip(events, outcomes, strict=True)
        ]

    async def _handle(self, events: Sequence[InputEvent]) -> list[Outcome]:
        """Raises AppendFailed when the database refuses the rows of the one event it has."""
        for tried in range(1, TRIES + 1):
            try:
                return await self._ledger.handle([asked(event) for event in events])
            except DatabaseUnavailable:
                if tried == TRIES:
                    raise
        raise AssertionError("the last try returns or raises")


def _of_all(error: Exception) -> bool:
    """Whether what went wrong is no change's fault, so that each alone would meet it too."""
    return isinstance(error, DatabaseUnavailable)


def _known(outcome: Outcome) -> bool:
    return outcome.kind == "duplicate" or outcome.code == "conflict"


def _at_its_time(waiting: _Waiting, taken: dict[bytes, Taken]) -> InputEvent:
    """The change at the moment at which it came first."""
    if waiting.timed:
        return waiting.event
    found = taken.get(key_of(waiting.event))
    if found is None:
        return waiting.event
    return replace(waiting.event, time=from_instant(found.occurred_at))
