"""The system shard as the projections need it: program versions and RFM bounds in force when.

Loaded from the log's system shard from its first position on and extended as that grows; never from
a table that can change. `position` says what it reflects.
"""

from typing import NamedTuple

from psycopg import Connection, Cursor
from psycopg.rows import TupleRow

from ledger.core.program.canonical import from_canonical
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.timeline import Timeline
from projections.log import (
    SYSTEM_SHARD,
    Entry,
    ask_batch,
    batch,
    decode_system,
    read_batch,
)
from schemas.decisions import ProgramPublished, RfmBoundsSet
from schemas.fields import Instant

SYSTEM_BATCH = 500
"""System events read at once; a program version is some kB."""


class Bounds(NamedTuple):
    """Recorded quintile bounds and the moment from which they hold."""

    as_of: Instant
    recency_days: tuple[int, ...]
    frequency: tuple[int, ...]
    monetary: tuple[int, ...]


class System:
    """Program versions and bounds up to `position`; grows, never shrinks."""

    __slots__ = ("_bounds", "_versions", "bounds", "bounds_position", "position", "programs",
                 "programs_position")  # fmt: skip

    def __init__(self) -> None:
        self.position = 0
        self.programs_position = 0
        self.bounds_position = 0
        self.programs = Timeline(())
        self.bounds: tuple[Bounds, ...] = ()
        self._versions: list[tuple[Instant, Compiled]] = []
        self._bounds: dict[Instant, Bounds] = {}

    def catch_up(self, connection: Connection, to: int | None = None) -> None:
        """Read what the system shard has gained, or what of it lies up to a position. Raises
        LogDamaged."""
        while entries := batch(connection, SYSTEM_SHARD, self.position, SYSTEM_BATCH):
            for entry in entries:
                if to is not None and entry.position > to:
                    return
                self._fold(entry)

    def ask(self, connection: Connection) -> Cursor[TupleRow]:
        """Ask what the system shard has gained, in a round trip with other statements."""
        return ask_batch(connection, SYSTEM_SHARD, self.position, SYSTEM_BATCH)

    def take(self, asked: Cursor[TupleRow]) -> bool:
        """Read the answer; whether it has gained something. Raises LogDamaged."""
        entries = read_batch(asked, SYSTEM_SHARD, self.position)
        for entry in entries:
            self._fold(entry)
        return bool(entries)

    def _fold(self, entry: Entry) -> None:
        event = decode_system(entry)
        match event:
            case ProgramPublished():
                compiled = compile_program(from_canonical(bytes(event.content)))
                self._versions.append((event.effective_from, compiled))
                self.programs = Timeline(self._versions)
                self.programs_position = entry.position
            case RfmBoundsSet():
                # Of two with the same moment the one recorded later counts.
                self._bounds[event.as_of] = Bounds(
                    event.as_of, event.recency_days, event.frequency, event.monetary
                )
                self.bounds = tuple(self._bounds[at] for at in sorted(self._bounds))
                self.bounds_position = entry.position
            case _:
                pass
        self.position = entry.position


def rfm_segments_without_bounds(system: System) -> tuple[str, ...]:
    """Segments of the newest version that need RFM bounds, while none are recorded."""
    if system.bounds or system.programs.empty:
        return ()
    _, program = system.programs.versions[-1]
    return tuple(s.id for s in program.form.segments if s.when.rfm is not None)
