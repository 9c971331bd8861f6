"""All members at a past moment, as a set: folded page by page from the log, streamed, in bounded
memory.

For what the read models cannot tell: what was known at a moment, and the lots of a past one. A page
is some hundred accounts of one shard, read by the index over their events; one account is in memory
at a time. The order is that of shards and account ids.
"""

from collections.abc import Callable, Generator
from itertools import groupby
from operator import attrgetter

from psycopg import Connection

from audit.as_of import AsOf, as_of
from audit.member_log import LedgerFacts
from ledger.core.calendar import from_instant, to_instant
from ledger.core.program.canonical import from_canonical
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.timeline import Timeline
from ledger.sharding import ANONYMOUS_MEMBER
from projections.log import SYSTEM_SHARD, Entry, accounts_after, decode, decode_system
from schemas.decisions import ProgramPublished
from schemas.fields import Instant

ACCOUNTS_PAGE = 500
"""Accounts asked for at once: at some hundred events each, what one query answers in a second."""

STREAM_ROWS = 2_000
"""Events fetched at once; at some kB each, a few megabytes."""

_PUBLISHED = """
SELECT shard, position, account_id, member_id, version, payload, recorded_at FROM ledger.events
WHERE shard = %s AND type = 'ProgramPublished' ORDER BY position
"""
_PAGE = """
SELECT shard, position, account_id, member_id, version, payload FROM ledger.events
WHERE shard = %s AND account_id = ANY(%s) AND member_id <> %s AND recorded_at <= %s
ORDER BY account_id, version
"""

Progress = Callable[[int, int], None]
"""Called with the events folded and those there are."""


def programs_known(connection: Connection, known_at: Instant | None = None) -> Timeline:
    """The program versions that were published by `known_at` (None: all), and in any case the
    first, without which nothing was decided."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_PUBLISHED, [SYSTEM_SHARD]).fetchall()
    versions: list[tuple[Instant, Compiled]] = []
    for *columns, recorded_at in rows:
        if versions and known_at is not None and to_instant(recorded_at) > known_at:
            break
        event = decode_system(Entry._make(columns))
        assert isinstance(event, ProgramPublished), "that is what was asked for"
        program = compile_program(from_canonical(bytes(event.content)), event.version)
        versions.append((event.effective_from, program))
    return Timeline(versions)


def as_of_all(
    connection: Connection,
    ledger: LedgerFacts,
    at: Instant,
    known_at: Instant | None = None,
    progress: Progress | None = None,
) -> Generator[AsOf, None, None]:
    """Every member with an account at `at`, by what was recorded by `known_at` (None: by now).

    Raises LogDamaged (`log_undecodable`), InvariantBroken.
    """
    programs = programs_known(connection, known_at)
    heads: dict[int, int] = dict(
        connection.execute("SELECT shard, position FROM ledger.heads").fetchall()
    )
    total, done = sum(heads[shard] for shard in range(ledger.shards)), 0
    until = "infinity" if known_at is None else from_instant(known_at)
    for shard in range(ledger.shards):
        last = None
        while page := accounts_after(connection, shard, last, heads[shard], ACCOUNTS_PAGE):
            with connection.cursor(binary=True) as cursor:
                rows = cursor.stream(
                    _PAGE, [shard, page, ANONYMOUS_MEMBER, until], size=STREAM_ROWS
                )
                entries = map(Entry._make, rows)
                for member_id, of_member in groupby(entries, key=attrgetter("member_id")):
                    events = list(map(decode, of_member))
                    done += len(events)
                    found = as_of(member_id, events, programs, at)
                    if found is not None:
                        yield found
            if progress is not None:
                progress(done, total)
            last = page[-1]
    if progress is not None:
        progress(total, total)
