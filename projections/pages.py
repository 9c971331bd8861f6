"""Building the rows of a shard by pages of its accounts, each folded once, from its first event on.

In the log's order, with more members than fit in memory, most events would find theirs forgotten
and fold its whole history again: quadratic in its length. By pages of accounts every event is read
once, whatever the log's length and however many members there are, and what is in memory is one
member and a bounded number of rows. A page is a transaction: whoever comes after a process that
died goes on at the page that it did not finish.

While a shard is built its log grows. Where much has come meanwhile, another round goes over the
accounts that grew and puts their rows anew; what then is left is folded in the log's order.
"""

from collections.abc import Callable, Iterator
from uuid import UUID

from psycopg import Connection, sql

from projections import builds
from projections.builds import Build
from projections.connection import connect
from projections.folding import NO_MEMBER, Step, no_step
from projections.log import Entry, decode, histories
from projections.member import Member
from projections.segments import wanted_of
from projections.system import System
from projections.tables import Writes
from schemas.decisions import AccountEvent

PAGE_ACCOUNTS = 500
"""Accounts of one transaction: with some twenty events each a second of work."""

FLUSH_ROWS = 20_000
"""Rows kept in memory before they are written, some megabytes: one member may make more."""

ROUND_EVENTS = 20_000
"""A shard that grew by more than this is gone over once more by pages. Fewer events are folded in
the log's order: each of them may fold the history of a member that is not in memory."""

Stopping = Callable[[], bool]


def build_shard(
    url: str, build: Build, shard: int, stopping: Stopping, step: Step = no_step
) -> None:
    """Go over the accounts of the shard until the round is through, or until told to stop.

    Raises LogDamaged, psycopg.Error.
    """
    roles = (build.role,)
    with connect(url, roles=roles) as writer, connect(url, roles=roles) as reader:
        pages = _Pages(build, shard, writer, reader, step)
        while not stopping() and pages.turn():
            pass


def begin_rounds(connection: Connection, build: Build) -> list[int]:
    """The shards that are not through, after those that grew much were given another round."""
    name = {"pages": sql.Identifier(build.schema, "pages")}
    with connection.transaction():
        for shard, target in builds.targets(connection, build).items():
            connection.execute(
                sql.SQL(
                    "UPDATE {pages} SET since = head, head = NULL, after = NULL, done = false"
                    " WHERE name = %s AND shard = %s AND done AND %s - head > %s"
                ).format(**name),
                [build.name, shard, target, ROUND_EVENTS],
            )
    rows = connection.execute(
        sql.SQL("SELECT shard FROM {pages} WHERE name = %s AND NOT done ORDER BY shard").format(
            **name
        ),
        [build.name],
    ).fetchall()
    return [row[0] for row in rows]


class _Pages:
    """The pages of one shard. It reads on one session and writes on another: what is read streams
    while what it gives is written."""

    def __init__(
        self, build: Build, shard: int, writer: Connection, reader: Connection, step: Step
    ) -> None:
        self._build = build
        self._shard = shard
        self._writer = writer
        self._reader = reader
        self._step = step
        self._models = build.read_models()
        # Models may also count what belongs to no member; the others never see it.
        self._counting: list[Callable[[Entry, AccountEvent, Writes], None]] = [
            model.note_anonymous for model in self._models if hasattr(model, "note_anonymous")
        ]
        self._pages = sql.Identifier(build.schema, "pages")
        self._system = System()
        self._system.catch_up(reader)
        self._keep = wanted_of(self._system)

    def turn(self) -> bool:
        """One page; False when there was none left."""
        with self._writer.transaction():
            # Locked: of two processes (one whose parent was killed) each takes a page of its own.
            row = self._writer.execute(
                sql.SQL(
                    "SELECT since, head, system_position, after FROM {}"
                    " WHERE name = %s AND shard = %s AND NOT done FOR UPDATE"
                ).format(self._pages),
                [self._build.name, self._shard],
            ).fetchone()
            if row is None:
                return False
            since, head, system_position, after = row
            if head is None:
                head = builds.targets(self._writer, self._build)[self._shard]
            if after is None:
                system_position = self._system.position
            accounts = self._accounts(after, head)
            grown = self._grown(accounts, since, head) if since else accounts
            folded = self._fold(grown, since, head)
            last = accounts[-1] if len(accounts) == PAGE_ACCOUNTS else None
            if last is None:
                self._arrive(head, system_position, since)
            self._writer.execute(
                sql.SQL(
                    "UPDATE {} SET head = %s, system_position = %s, after = %s, done = %s,"
                    " folded = folded + %s WHERE name = %s AND shard = %s"
                ).format(self._pages),
                [head, system_position, last, last is None, folded, self._build.name, self._shard],
            )
            self._step("rebuild.before_page")
        self._step("rebuild.after_page")
        return last is not None

    def _accounts(self, after: UUID | None, head: int) -> list[UUID]:
        rows = self._reader.execute(
            "SELECT account_id FROM ledger.events WHERE shard = %s AND version = 1"
            " AND position <= %s AND account_id > %s AND (%s OR left(member_id, 1) <> %s)"
            " ORDER BY account_id LIMIT %s",
            [
                self._shard,
                head,
                after or UUID(int=0),
                bool(self._counting),
                NO_MEMBER,
                PAGE_ACCOUNTS,
            ],
        ).fetchall()
        return [row[0] for row in rows]

    def _grown(self, accounts: list[UUID], since: int, head: int) -> list[UUID]:
        rows = self._reader.execute(
            "SELECT a FROM unnest(%s::uuid[]) AS a WHERE EXISTS (SELECT FROM ledger.events AS e"
            " WHERE e.shard = %s AND e.account_id = a AND e.position > %s AND e.position <= %s)"
            " ORDER BY a",
            [accounts, self._shard, since, head],
        ).fetchall()
        return [row[0] for row in rows]

    def _fold(self, accounts: list[UUID], since: int, head: int) -> int:
        """Write what the accounts' events give; how many they were."""
        writes = Writes(self._build.schema)
        member: Member | None = None
        account: UUID | None = None
        folded = 0
        for entry in self._entries(accounts, head):
            if entry.member_id.startswith(NO_MEMBER):
                if entry.position > since:
                    self._count(entry, writes)
                continue
            if entry.account_id != account:
                self._show(member, writes)
                account = entry.account_id
                member = Member(entry, self._keep, new=entry.position > since)
            assert member is not None, "an account's first event makes its member"
            event = decode(entry)
            if entry.position > since:
                for model in self._models:
                    model.note(entry, event, member, writes)
            member.fold(entry, event)
            folded += 1
            if len(writes) >= FLUSH_ROWS:
                writes.flush(self._writer)
        self._show(member, writes)
        writes.flush(self._writer)
        return folded

    def _count(self, entry: Entry, writes: Writes) -> None:
        event = decode(entry)
        for note_anonymous in self._counting:
            note_anonymous(entry, event, writes)
        if len(writes) >= FLUSH_ROWS:
            writes.flush(self._writer)

    def _entries(self, accounts: list[UUID], head: int) -> Iterator[Entry]:
        if accounts:
            yield from histories(self._reader, self._shard, accounts, head)

    def _show(self, member: Member | None, writes: Writes) -> None:
        if member is not None:
            for model in self._models:
                model.show(member, self._system, writes)

    def _arrive(self, head: int, system_position: int, since: int) -> None:
        """The shard stands at `head`. Rows shown by more than one state of the system shard (also
        those of members who did not grow in a later round) are those of none: 0 has them computed
        anew."""
        one = system_position == self._system.position
        for model in self._models:
            relevant = model.relevant(self._system) if one else 0
            self._writer.execute(
                sql.SQL(
                    "UPDATE {} SET position = %s, system_position ="
                    " CASE WHEN %s = 0 OR system_position = %s THEN %s ELSE 0 END"
                    " WHERE projection = %s AND shard = %s"
                ).format(sql.Identifier(self._build.schema, "positions")),
                [head, since, relevant, relevant, model.name, self._shard],
            )
