"""Inputs that were put aside: list them, look at one, discard one. Retrying is `handle(retry_of=)`.

A dead letter is written by the append that meets it; here is only what people do with them later. A
discarded one stays counted as dead-lettered, also when its row is purged later: every input keeps
exactly one outcome.
"""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace
from psycopg.rows import TupleRow

from ledger.errors import DeadLetterUnavailable
from ledger.headers import Headers, read_headers
from ledger.lookups import Connection
from ledger.received import DIRECT, Received, RecordRef, undecodable
from schemas.decode import decode_record, instant_of
from schemas.errors import Malformed

Status = Literal["open", "retried", "discarded"]

LIST_MAX = 1_000
"""Most dead letters of one listing."""

_COLUMNS = (
    'SELECT id, source, partition, "offset", key, value, headers, record_timestamp, type,'
    " member_id, code, path, message, recorded_at, status, attempts, closed_at, discarded_by,"
    " discard_reason"
    " FROM ledger.dead_letters"
)
_LIST = (
    _COLUMNS + " WHERE status = %s AND id > %s AND (%s::text IS NULL OR code = %s)"
    " ORDER BY id LIMIT %s"
)
_COUNT = (
    "SELECT count(*) FROM ledger.dead_letters WHERE status = %s AND (%s::text IS NULL OR code = %s)"
)
_SHOW = _COLUMNS + " WHERE id = %s"
_DISCARD = (
    "UPDATE ledger.dead_letters SET status = 'discarded', closed_at = now(), discarded_by = %s,"
    " discard_reason = %s WHERE id = %s AND status = 'open'"
)
_PURGE = """
DELETE FROM ledger.dead_letters WHERE id IN (
    SELECT id FROM ledger.dead_letters WHERE status <> 'open' AND closed_at < %s
    ORDER BY closed_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


class DeadLetter(Struct, frozen=True):
    """One input put aside. `source`: its topic, or `direct` (then `value` is the event as JSON).
    `record_timestamp`: milliseconds since 1970."""

    id: int
    source: str
    partition: int | None
    offset: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    record_timestamp: int | None
    type: str
    member_id: str | None
    code: str
    path: str
    message: str
    recorded_at: datetime
    status: Status
    attempts: int
    closed_at: datetime | None
    discarded_by: str | None
    discard_reason: str | None

    def record(self) -> RecordRef:
        """The record as it came, to decode it again."""
        return RecordRef(
            self.source,
            self.partition or 0,
            self.offset or 0,
            self.key,
            self.value,
            self.headers,
            self.record_timestamp,
        )


def again(letter: DeadLetter) -> Received:
    """The input as it came, to retry it. Its time of arrival no longer bounds its `occurred_at`: it
    may be retried because that moment has come. What came directly is known by its sender's key as
    well, which then never stands for another input."""
    record = replace(letter.record(), timestamp=None)
    try:
        event = decode_record(record.value, record.headers)
    except Malformed as error:
        return undecodable(record, error.code, error.path, error.message)
    return Received(event, instant_of(event), record=record, keyed=letter.source == DIRECT)


async def list_dead_letters(
    connection: Connection,
    status: Status = "open",
    *,
    code: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[DeadLetter]:
    """Dead letters with an id above `after`, oldest first, at most LIST_MAX."""
    cursor = await connection.execute(_LIST, (status, after, code, code, min(limit, LIST_MAX)))
    return [_letter(row) for row in await cursor.fetchall()]


async def count_dead_letters(
    connection: Connection, status: Status = "open", *, code: str | None = None
) -> int:
    """How many there are."""
    row = await (await connection.execute(_COUNT, (status, code, code))).fetchone()
    assert row is not None
    return int(row[0])


async def show_dead_letter(connection: Connection, number: int) -> DeadLetter:
    """One dead letter. Raises DeadLetterUnavailable."""
    row = await (await connection.execute(_SHOW, (number,))).fetchone()
    if row is None:
        raise DeadLetterUnavailable(
            f"There is no dead letter {number}: `points dead-letters list` shows their ids.",
            "no_dead_letter",
        )
    return _letter(row)


async def discard_dead_letter(connection: Connection, number: int, reason: str, by: str) -> None:
    """Give an open one up. Raises DeadLetterUnavailable."""
    cursor = await connection.execute(_DISCARD, (by, reason, number))
    if cursor.rowcount == 0:
        letter = await show_dead_letter(connection, number)
        raise DeadLetterUnavailable(f"Dead letter {number} was {letter.status} before.", "closed")


async def purge_dead_letters(connection: Connection, closed_before: datetime) -> int:
    """Delete those that were retried or discarded before a moment, page by page; how many. An open
    one is never deleted."""
    purged = 0
    while page := (await connection.execute(_PURGE, (closed_before, LIST_MAX))).rowcount:
        purged += page
    return purged


def _letter(row: TupleRow) -> DeadLetter:
    headers = read_headers(row[6]) if row[6] else ()
    values: tuple[Any, ...] = (*row[:6], headers, *row[7:])
    return DeadLetter(*values)
