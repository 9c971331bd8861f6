"""The read models of a shard against its log: every row, worked out anew in memory and compared.

Member by member, in pages by account: what the projections' own models note and show is collected
instead of written, and compared with the rows that the tables hold of those members. Nothing is
written; memory holds one page. A projection is compared up to where it says it has folded.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from psycopg import Connection, sql

from audit.findings import Finding, rebuild
from audit.plan import Plan
from ledger.accounts import account_id_of
from ledger.sharding import ANONYMOUS_MEMBER, shard_of
from projections.folding import NO_MEMBER
from projections.log import (
    SYSTEM_SHARD,
    Entry,
    accounts_after,
    batch,
    decode,
    decode_system,
    histories,
)
from projections.member import Member
from projections.model import CountsAnonymous, ReadModel
from projections.positions import Place
from projections.runner import read_models
from projections.segments import wanted_of
from projections.system import SYSTEM_BATCH, System
from projections.tables import Row, Table, Writes

PAGE_ACCOUNTS = 100
"""Accounts of one page: their rows, expected and found, take some tens of megabytes."""

STRETCH_EVENTS = 5_000
"""Purchases without a member that are looked at together: some megabytes."""

STRANGERS_MAX = 1_000
"""Rows that nothing in the log asks for which are looked at, per table: of more, one is enough."""

_STRETCH = """
SELECT shard, position, account_id, member_id, version, payload FROM ledger.events
WHERE shard = %s AND account_id = %s AND version > %s AND version <= %s AND position <= %s
ORDER BY version
"""

_ACCOUNTS = """
SELECT count(*) FROM ledger.events
WHERE shard = %s AND version = 1 AND position <= %s AND NOT starts_with(member_id, %s)
"""


class Collected(Writes):
    """Rows that a projection would write, kept."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[Table, list[Row]] = {}

    # The parameters' names are the base's; what is not there yet need not be taken away.

    def append(self, into: Table, row: Row) -> None:
        """Keep a row."""
        self.rows.setdefault(into, []).append(row)

    def replace(
        self,
        into: Table,
        member_id: str,  # noqa: ARG002
        rows: Sequence[Row],
        *,
        new: bool = False,  # noqa: ARG002
    ) -> None:
        """Keep the rows: of a member that is folded from its first event these are all."""
        self.rows.setdefault(into, []).extend(rows)

    def replace_numbered(
        self,
        into: Table,
        member_id: str,  # noqa: ARG002
        numbers: Sequence[int],  # noqa: ARG002
        rows: Sequence[Row],
    ) -> None:
        """As above."""
        self.rows.setdefault(into, []).extend(rows)


class Shown(NamedTuple):
    """A model as it stands in a shard: folded to `position`, by the system events that it knew."""

    model: ReadModel
    position: int
    system: System


class ModelsCheck:
    """Compares one shard's rows of read models that stand at one position. `events`: folded so
    far."""

    def __init__(
        self, connection: Connection, program_id: str, shard: int, shown: Sequence[Shown]
    ) -> None:
        self._connection = connection
        self._nobody = account_id_of(program_id, ANONYMOUS_MEMBER)
        self._shard = shard
        self._shown = shown
        self._position = shown[0].position
        newest = max((one.system for one in shown), key=lambda system: system.position)
        self._keep = wanted_of(newest)
        self.events = 0

    def page(self, after: UUID | None) -> tuple[UUID | None, list[Finding]]:
        """Compare the next page; the last account of it (None: there are no more), and the first
        difference of each table. Raises LogDamaged."""
        accounts = accounts_after(
            self._connection, self._shard, after, self._position, PAGE_ACCOUNTS
        )
        found: list[Finding] = []
        if self._nobody in accounts:  # all purchases of nobody: too many for one page
            for entries in self._of_nobody():
                found.extend(self._anonymous(entries))
        collected = Collected()
        members: dict[UUID, Member] = {}
        positions: list[int] = []
        mine = [account for account in accounts if account != self._nobody]
        for entry in histories(self._connection, self._shard, mine, self._position):
            self.events += 1
            positions.append(entry.position)
            member = members.get(entry.account_id)
            if member is None:
                member = members[entry.account_id] = Member(entry, self._keep, new=True)
            event = decode(entry)
            for one in self._shown:
                one.model.note(entry, event, member, collected)
            member.fold(entry, event)
        for member in members.values():
            for one in self._shown:
                one.model.show(member, one.system, collected)
        names = [member.member_id for member in members.values()]
        found.extend(self._compare(collected, positions, names))
        return (accounts[-1] if len(accounts) == PAGE_ACCOUNTS else None), found

    def _of_nobody(self) -> Iterator[list[Entry]]:
        """The events of the account of purchases without a member, a stretch at a time."""
        version = 0
        while True:
            rows = self._connection.execute(
                _STRETCH,
                (self._shard, self._nobody, version, version + STRETCH_EVENTS, self._position),
                binary=True,
            ).fetchall()
            if not rows:
                return
            yield [Entry._make(row) for row in rows]
            version += STRETCH_EVENTS

    def _anonymous(self, entries: Sequence[Entry]) -> Iterator[Finding]:
        collected = Collected()
        self.events += len(entries)
        for entry in entries:
            event = decode(entry)
            for one in self._shown:
                if isinstance(one.model, CountsAnonymous):
                    one.model.note_anonymous(entry, event, collected)
        yield from self._compare(collected, [entry.position for entry in entries], [])

    def _compare(
        self, collected: Collected, positions: list[int], members: list[str]
    ) -> Iterator[Finding]:
        """What was collected for these events and members, against what is stored of them."""
        for one in self._shown:
            for table in one.model.tables:
                expected = collected.rows.get(table, [])
                if is_of_events(table):
                    query = sql.SQL("{} WHERE shard = %s AND position = ANY(%s)")
                    values: tuple[object, ...] = (self._shard, positions)
                elif "member_id" in table.columns:
                    query, values = sql.SQL("{} WHERE member_id = ANY(%s)"), (members,)
                else:
                    continue
                stored = self._connection.execute(
                    query.format(_select(table)), values, binary=True
                ).fetchall()
                yield from compare(self._shard, one.model.name, table, expected, stored)

    def strays(self) -> list[Finding]:
        """Rows of members of whom this shard's log has no event, by the balances' own count."""
        found: list[Finding] = []
        for one in self._shown:
            for table in one.model.tables:
                if is_of_events(table):
                    found.extend(self._outside(one.model.name, table))
                    continue
                if table.columns[:2] != ("member_id", "shard"):
                    continue
                stored = self._connection.execute(
                    sql.SQL("SELECT count(*) FROM {} WHERE shard = %s").format(table.identifier),
                    (self._shard,),
                ).fetchone()
                known = self._connection.execute(
                    _ACCOUNTS, (self._shard, self._position, NO_MEMBER)
                ).fetchone()
                assert stored is not None
                assert known is not None
                if stored[0] > known[0]:
                    found.append(self._stray(one.model.name, table, stored[0] - known[0]))
        return found

    def _stray(self, projection: str, table: Table, count: int) -> Finding:
        row = self._connection.execute(
            sql.SQL(
                "SELECT t.member_id FROM {} AS t WHERE t.shard = %s AND NOT EXISTS (SELECT FROM"
                " ledger.events AS e WHERE e.shard = %s AND e.version = 1 AND e.position <= %s"
                " AND e.member_id = t.member_id) ORDER BY 1 LIMIT 1"
            ).format(table.identifier),
            (self._shard, self._shard, self._position),
        ).fetchone()
        return Finding(
            "read_row_added",
            self._shard,
            "this row is of a member without an event in the log",
            rebuild(projection),
            table=f"read.{table.name}",
            member_id=None if row is None else row[0],
            count=count,
        )

    def _outside(self, projection: str, table: Table) -> Iterator[Finding]:
        """Rows of positions that were not folded."""
        stored = self._connection.execute(
            sql.SQL("{} WHERE shard = %s AND NOT position BETWEEN 1 AND %s LIMIT %s").format(
                _select(table)
            ),
            (self._shard, self._position, STRANGERS_MAX),
            binary=True,
        ).fetchall()
        yield from compare(self._shard, projection, table, [], stored)


def compare(
    shard: int, projection: str, table: Table, expected: Iterable[Row], stored: Iterable[Row]
) -> Iterator[Finding]:
    """The first difference between the rows that a table must hold and those it does, if any."""
    if any(kind.endswith("[]") for kind in table.types):
        expected, stored = map(_plain, expected), map(_plain, stored)
    must, have = list(expected), list(stored)
    if len(must) == len(have) and set(must) == set(have):  # a table's rows differ by their keys
        return
    wanted, found = Counter(must), Counter(have)
    missing, added = list((wanted - found).elements()), list((found - wanted).elements())
    member = _at(table, "member_id")
    count = max(len(missing), len(added))
    code, row, told = "read_row_missing", None, "a row that follows from the log is missing"
    if missing:
        row = first = min(missing, key=lambda one: _order(table, one))
        twins = [one for one in added if member is None or one[member] == first[member]]
        twin = max(twins, key=lambda one: _alike(one, first), default=None)
        if twin is not None and 2 * _alike(twin, row) > len(row):
            code = "read_row_changed"
            told = "; ".join(
                f"{name} is {_text(is_)}, the log says {_text(must_be)}"
                for name, is_, must_be in zip(table.columns, twin, row, strict=True)
                if is_ != must_be
            )
        else:
            told += f": {_told(table, row)}"
    else:
        row = min(added, key=lambda one: _order(table, one))
        code = "read_row_added"
        told = f"a row does not follow from the log: {_told(table, row)}"
    position = _at(table, "position")
    yield Finding(
        code,
        shard,
        told,
        rebuild(projection),
        position=None if position is None else _number(row[position]),
        table=f"read.{table.name}",
        member_id=None if member is None else str(row[member]),
        count=count,
    )


def check_system_rows(connection: Connection, model: ReadModel, position: int) -> list[Finding]:
    """The rows that a model appended for events of the system shard, up to its position there."""
    collected = Collected()
    after = 0
    while entries := batch(connection, SYSTEM_SHARD, after, SYSTEM_BATCH):
        for entry in entries:
            if entry.position <= position:
                model.note_system(entry, decode_system(entry), collected)
        after = entries[-1].position
    found: list[Finding] = []
    for table in model.tables:
        if "member_id" not in table.columns and "shard" not in table.columns:
            stored = connection.execute(_select(table), binary=True).fetchall()
            expected = collected.rows.get(table, [])
            found.extend(compare(SYSTEM_SHARD, model.name, table, expected, stored))
    return found


def system_at(connection: Connection, position: int) -> System:
    """The program versions and bounds up to a position of the system shard. Raises LogDamaged."""
    system = System()
    system.catch_up(connection, position)
    return system


def is_whole(place: Place) -> bool:
    """Whether a projection's rows of a shard reflect one state of the system shard."""
    return place.refresh_target is None


def strangers(connection: Connection, plan: Plan) -> list[Finding]:
    """Rows of members whom the log does not know, in the tables that no page of a shard shows: the
    first of each table."""
    found: list[Finding] = []
    for model in read_models():
        for table in model.tables:
            if "member_id" in table.columns and "shard" not in table.columns:
                asked = connection.execute(
                    sql.SQL(
                        "SELECT DISTINCT member_id FROM {} AS t WHERE NOT EXISTS"
                        " (SELECT FROM read.balances AS b WHERE b.member_id = t.member_id)"
                        " ORDER BY 1 LIMIT %s"
                    ).format(table.identifier),
                    (STRANGERS_MAX,),
                ).fetchall()
                unknown = [member for (member,) in asked if not _known(connection, plan, member)]
                if unknown:
                    found.append(
                        Finding(
                            "read_row_added",
                            shard_of(unknown[0], plan.shards),
                            "this row is of a member without an event in the log",
                            rebuild(model.name),
                            table=f"read.{table.name}",
                            member_id=unknown[0],
                            count=len(unknown),
                        )
                    )
    return found


def _known(connection: Connection, plan: Plan, member_id: str) -> bool:
    row = connection.execute(
        "SELECT 1 FROM ledger.events WHERE shard = %s AND account_id = %s LIMIT 1",
        (shard_of(member_id, plan.shards), account_id_of(plan.program_id, member_id)),
    ).fetchone()
    return row is not None


def is_of_events(table: Table) -> bool:
    """Whether a table's rows are of events, and not of members."""
    return "shard" in table.columns and "position" in table.columns


def _select(table: Table) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    return sql.SQL("SELECT {} FROM {}").format(columns, table.identifier)


def _plain(row: Row) -> Row:
    return tuple([tuple(value) if type(value) is list else value for value in row])


def _at(table: Table, column: str) -> int | None:
    return table.columns.index(column) if column in table.columns else None


def _order(table: Table, row: Row) -> tuple[object, ...]:
    position, member = _at(table, "position"), _at(table, "member_id")
    return (
        0 if position is None else row[position],
        "" if member is None else row[member],
        str(row),
    )


def _alike(one: Row, other: Row) -> int:
    return sum(a == b for a, b in zip(one, other, strict=True))


def _told(table: Table, row: Row) -> str:
    return ", ".join(
        f"{name} {_text(value)}" for name, value in zip(table.columns[:6], row, strict=False)
    )


def _text(value: object) -> str:
    return "NULL" if value is None else str(value)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
