"""The log and the read models as Parquet files by day, for analysts: only what is new.

What only grows (the log, its postings, balance changes, purchases) is exported by position, each
row once, into the UTC day of its `recorded_at`. States are exported whole, into the day of the
export, when their read model has moved. Memory holds one stretch of rows, however long the log.
"""

from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as arrow
from psycopg import Connection

from analytics.export_files import Exported, Folder, Writer
from analytics.export_tables import GROWING, LOG, NAMES, POSTINGS, STATES, DataSet, head_of
from audit.session import connect, one_moment
from ledger.core.calendar import from_instant
from projections import positions

ROWS_AT_ONCE = 50_000
"""Rows gathered before files are written: some 100 MB with their JSON, and files of megabytes."""

BYTES_AT_ONCE = 64 << 20
"""Bytes of JSON gathered before files are written, 64 MiB, where events are large."""

STRETCH = 2_000
"""Events read in one query, and positions of a read model: at some kB each, a few megabytes."""

STATE_ROWS = 10_000
"""Rows of a state in memory at once."""

DAY_US = 86_400_000_000

Progress = Callable[[str, int, int], None]
"""Which data set, how many positions done, of how many."""

Row = Sequence[Any]


class Outcome(NamedTuple):
    """What one run added, by data set; states count when they were written anew."""

    rows: dict[str, int]
    files: int


def _silent(_name: str, _done: int, _total: int) -> None:
    pass


def export(
    database_url: str,
    out: Path,
    what: Sequence[str] = NAMES,
    *,
    since_last: bool = True,
    progress: Progress = _silent,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Outcome:
    """Bring the folder up to date. `since_last`: go on after what it holds, else begin anew.

    Raises AnalysisRefused (other_export), OSError, psycopg.OperationalError.
    """
    with connect(database_url) as connection:
        row = connection.execute("SELECT ledger_id::text FROM ledger.ledger").fetchone()
        assert row is not None, "a ledger has its row"
        run = _Run(connection, Folder(out, row[0], since_last), progress, rows_at_once)
        for one in GROWING:
            if one.name in what:
                run.growing(one)
        for one in STATES:
            if one.name in what:
                run.state(one)
        return Outcome(run.rows, run.files)


class _Run:
    """One run: rows gathered by data set and day, and the positions that they reach."""

    def __init__(
        self, connection: Connection, folder: Folder, progress: Progress, rows_at_once: int
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._progress = progress
        self._rows_at_once = rows_at_once
        self._gathered: dict[tuple[DataSet, str], list[Row]] = {}
        self._count = 0
        self._bytes = 0
        self.rows: dict[str, int] = {}
        self.files = 0

    def growing(self, of: DataSet) -> None:
        """Export what came after the positions of the manifest."""
        heads, generation = self._reached(of)
        sets = (of, POSTINGS) if of is LOG else (of,)
        known = self._folder.of(of.name)
        gone: list[str] = []
        if known.generation != generation:  # other tables were put in the place of those exported
            gone = known.files
            known = self._folder.manifest.sets[of.name] = Exported(generation=generation)
        for one in sets:
            self._folder.of(one.name)
        done = 0
        begun = {shard: known.positions.get(str(shard), 0) for shard in heads}
        total = sum(max(0, heads[shard] - begun[shard]) for shard in heads)
        reached: dict[str, int] = {}
        for shard, head in heads.items():
            after = begun[shard]
            while after < head:
                last = min(head, after + STRETCH)
                for row in self._stretch(of, shard, after, last):
                    self._gather(of, row)
                done += last - after
                after = reached[str(shard)] = last
                if self._count >= self._rows_at_once or self._bytes >= BYTES_AT_ONCE:
                    self._flush(sets, reached)
                self._progress(of.name, done, total)
        if reached or gone:
            self._flush(sets, reached)
        self._folder.remove(gone)

    def _reached(self, of: DataSet) -> tuple[dict[int, int], int]:
        """Up to where there is something to export, by shard."""
        if of.projection is None:
            rows = self._connection.execute("SELECT shard, position FROM ledger.heads ORDER BY 1")
            return dict(rows.fetchall()), 0
        places = positions.places(self._connection, [of.projection])
        found = {shard: each[0].position for shard, each in sorted(places.items()) if shard >= 0}
        return found, next((each[0].generation for each in places.values()), 0)

    def _stretch(self, of: DataSet, shard: int, after: int, last: int) -> Sequence[Row]:
        arguments = [shard, after, last]
        if of is LOG:
            arguments.append(STRETCH)
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(of.query.encode(), arguments).fetchall()

    def _gather(self, of: DataSet, row: Row) -> None:
        day = _day(row[of.schema.get_field_index("recorded_at")])
        if of is not LOG:
            self._add(of, day, row)
            return
        shard, position, account, member, version, kind, occurred, recorded, digest, payload = row
        head = head_of(payload)
        source, cause = head.cause or (None, None)
        text = payload.decode()
        self._bytes += len(payload)
        self._add(
            LOG,
            day,
            (shard, position, account, member, version, kind, occurred, recorded, head.program,
             source, cause, head.late_by, digest, text),
        )  # fmt: skip
        for n, posting in enumerate(head.postings):
            self._add(POSTINGS, day, (shard, position, n, member, *posting, recorded))

    def _add(self, to: DataSet, day: str, row: Row) -> None:
        self._gathered.setdefault((to, day), []).append(row)
        self._count += 1

    def _flush(self, sets: Sequence[DataSet], reached: dict[str, int]) -> None:
        """Write what was gathered, then say so."""
        for (to, day), rows in self._gathered.items():
            made = self._folder.write(to.name, day, _table(to, rows))
            self._folder.of(to.name).files.append(made)
            self.rows[to.name] = self.rows.get(to.name, 0) + len(rows)
            self.files += 1
        for one in sets:
            self._folder.of(one.name).positions.update(reached)
        self._folder.save()
        self._gathered.clear()
        self._count = self._bytes = 0

    def state(self, of: DataSet) -> None:
        """Write a state anew, if its read model has moved or another day has begun."""
        assert of.projection is not None, "only read models are states"
        connection = self._connection
        with one_moment(connection):
            row = connection.execute("SELECT now()", binary=True).fetchone()
            assert row is not None
            day = _day(row[0])
            places = positions.places(connection, [of.projection])
            reached = {str(shard): each[0].position for shard, each in places.items()}
            # Rows made anew for a program version move no position.
            reached["system"] = sum(each[0].system_position for each in places.values())
            generation = next((each[0].generation for each in places.values()), 0)
            known = self._folder.of(of.name)
            same = (known.positions, known.generation) == (reached, generation)
            if same and known.files and f"day={day}/" in known.files[0]:
                return
            made = self._folder.new_name(of.name, day)
            count = 0
            with (
                connection.cursor("export") as cursor,
                Writer(self._folder, made, of.schema) as writer,
            ):
                cursor.execute(of.query.encode(), binary=True)
                while rows := cursor.fetchmany(STATE_ROWS):
                    writer.write(_table(of, rows))
                    count += len(rows)
                    self._progress(of.name, count, count)
        gone = [name for name in known.files if f"day={day}/" in name]
        kept = [name for name in known.files if name not in gone]
        self._folder.manifest.sets[of.name] = Exported(reached, generation, [made, *kept])
        self._folder.save()
        self._folder.remove(gone)
        self.rows[of.name] = count
        self.files += 1


def _table(of: DataSet, rows: Sequence[Row]) -> arrow.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(of.schema)
    arrays = [
        arrow.array(list(values), field.type)
        for values, field in zip(columns, of.schema, strict=True)
    ]
    return arrow.Table.from_arrays(arrays, schema=of.schema)


def _day(moment: int) -> str:
    """The UTC day of an Instant."""
    return from_instant(moment - moment % DAY_US).astimezone(UTC).strftime("%Y-%m-%d")
