"""`append`: events into PostgreSQL, against a bare COPY of the same rows.

In each round the ledger handles some thousand purchases in batches of 500 on a warm cache: reading,
deciding, numbering, chaining, COPY of events and dedupe rows, heads, offsets, COMMIT. Then the rows
that it made are copied into an empty table of the same columns and indexes, in as many commits
(the floor), and saved with the `eventsourcing` library's own recorder: one event for each save, and
500.
"""

import asyncio

import psycopg
from psycopg.rows import TupleRow

from benchmarks.library import Library
from benchmarks.load import (
    DATABASE,
    MEMBERS,
    ROUND_DAYS,
    ROUNDS,
    SHARDS,
    WARM_UP_DAYS,
    YEAR_DAYS,
    Till,
    give,
    opened,
)
from benchmarks.report import Figure, Result, stopwatch
from benchmarks.shoppers import LINES
from benchmarks.stage import Stage, collecting_as_the_worker
from ledger.application import Ledger
from ledger.recorder import COPY_EVENTS, COPY_HEADER, COPY_TRAILER

SINGLE_SAVES = 1_000
"""Events of a round that the library saves one by one."""

SAVE_EVENTS = 500
"""Events of one of the library's larger saves."""

_FLOOR_TABLE = "CREATE TABLE copied (LIKE ledger.events INCLUDING ALL)"
_COPY_FLOOR = COPY_EVENTS.replace("ledger.events", "copied")
_COLUMNS = COPY_EVENTS[COPY_EVENTS.index("(") + 1 : COPY_EVENTS.index(")")]
_HEADS = "SELECT shard, position FROM ledger.heads WHERE shard >= 0"
_NEW = f"""
SELECT {_COLUMNS.replace("shard, position", "e.shard, e.position")}
FROM ledger.events e JOIN unnest(%s::integer[], %s::bigint[]) h (shard, position)
    ON e.shard = h.shard AND e.position > h.position
ORDER BY recorded_at, e.shard, e.position
"""  # noqa: S608 (the columns are a constant of ours)

Connection = psycopg.Connection[TupleRow]


def measure(stage: Stage) -> Result:
    """Events per second of each way."""
    rounds = _Rounds(stage)
    with collecting_as_the_worker():
        asyncio.run(rounds.run())
    return rounds.result()


def make_log(stage: Stage) -> str:
    """The name of a database with the log, which nobody is using; made unless it is there."""
    if not stage.exists(DATABASE):
        asyncio.run(_make(stage))
    return DATABASE


async def _make(stage: Stage) -> None:
    till = Till(stage.sized(MEMBERS, 20))
    ledger = await opened(stage.ledger(DATABASE, SHARDS))
    try:
        await give(ledger, till.batches(YEAR_DAYS))
    finally:
        await ledger.close()


class _Rounds:
    """The rounds, and what each of them took."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._members = stage.sized(MEMBERS, 20)
        self._single_saves = stage.sized(SINGLE_SAVES, 10)
        self._rates: dict[str, list[float]] = {}
        self._shares: list[float] = []
        self._events = self._bytes = self._purchases = 0

    async def run(self) -> None:
        till = Till(self._members)
        url = self._stage.ledger(DATABASE, SHARDS)
        ledger = await opened(url)
        library = Library(url)
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_FLOOR_TABLE)
                await give(ledger, till.batches(WARM_UP_DAYS))
                for _ in range(ROUNDS):
                    await self._round(ledger, till, connection, library)
        finally:
            library.close()
            await ledger.close()

    async def _round(
        self, ledger: Ledger, till: Till, connection: Connection, library: Library
    ) -> None:
        batches = till.batches(ROUND_DAYS)
        purchases = sum(len(batch.inputs) for batch in batches)
        heads = connection.execute(_HEADS).fetchall()
        deciding = ledger.stats.deciding.seconds
        with stopwatch() as seconds:
            await give(ledger, batches)
        self._rate("handle, purchases", purchases, seconds())
        self._shares.append(100 * (ledger.stats.deciding.seconds - deciding) / seconds())

        new = ([shard for shard, _ in heads], [position for _, position in heads])
        rows = _raw_rows(connection, new)
        self._rate("handle, events", len(rows), seconds())
        self._purchases, self._events = purchases, len(rows)
        self._bytes = sum(map(len, rows))
        per_commit = -(-len(rows) // len(batches))
        with stopwatch() as seconds:
            for start in range(0, len(rows), per_commit):
                with connection.cursor() as cursor, cursor.copy(_COPY_FLOOR) as copy:
                    part = rows[start : start + per_commit]
                    copy.write(b"".join((COPY_HEADER, *part, COPY_TRAILER)))
        self._rate("bare COPY", len(rows), seconds())

        stored = library.events(connection.execute(_NEW, new).fetchall())
        single, rest = stored[: self._single_saves], stored[self._single_saves :]
        self._rate("library, 1 a save", len(single), library.save(single, 1))
        self._rate("library, 500 a save", len(rest), library.save(rest, SAVE_EVENTS))

    def _rate(self, name: str, count: int, seconds: float) -> None:
        self._rates.setdefault(name, []).append(count / seconds)

    def result(self) -> Result:
        """The medians of the rounds."""

        def events(name: str, floor: str | None = "bare COPY") -> Figure:
            return Figure(name, "events/s", tuple(self._rates[name]), floor)

        return Result(
            "append",
            {
                "members": self._members,
                "purchases a round": self._purchases,
                "lines": LINES,
                "events per purchase": round(self._events / self._purchases, 2),
                "bytes per row": round(self._bytes / self._events),
            },
            (
                events("bare COPY", None),
                events("handle, events"),
                events("library, 1 a save"),
                events("library, 500 a save"),
                Figure("handle, purchases", "purchases/s", tuple(self._rates["handle, purchases"])),
                Figure("deciding, of handle", "%", tuple(self._shares)),
            ),
        )


def _raw_rows(connection: Connection, new: tuple[list[int], list[int]]) -> list[bytes]:
    """The rows as COPY wants them, one message of the server for each."""
    statement = f"COPY ({_NEW}) TO STDOUT (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(statement.encode(), new) as copy:
        rows = [bytes(row) for row in copy]
    rows[0] = rows[0].removeprefix(COPY_HEADER)
    return [row for row in rows if row not in (b"", COPY_TRAILER)]
