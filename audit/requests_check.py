"""The dedupe rows that all shards share: keys of requests with which anonymous purchases came.

Each names, as its content, the key of the purchase that it stands for, and the position of that one
in whichever shard it is.
"""

from collections.abc import Iterator

from psycopg import Connection

from audit.expected_inputs import request_of
from audit.findings import RESTORE_INPUTS, Finding
from ledger.sharding import SYSTEM_SHARD
from schemas.log_events import decode_account_event

TABLE = "ledger.inputs"

FETCHED_AT_ONCE = 2_000
"""Rows in memory, each with the event of its purchase: some kB each."""

_ROWS = """
SELECT r.key, r.content, r.position, i.shard, e.member_id, e.payload
FROM ledger.inputs r
LEFT JOIN ledger.inputs i ON i.shard <> r.shard AND i.key = r.content
LEFT JOIN ledger.events e ON e.shard = i.shard AND e.position = i.position
    AND i.position = r.position
WHERE r.shard = %s AND r.key > %s ORDER BY r.key
"""


def check_requests(
    connection: Connection, after: bytes
) -> Iterator[tuple[int, bytes, Finding | None]]:
    """Look at the rows with a key above `after`: by stretches, how many, the last key, and what was
    found first, which ends it. Needs its connection's transaction."""
    with connection.cursor("requests", binary=True) as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        cursor.execute(_ROWS, (SYSTEM_SHARD, after))
        while rows := cursor.fetchmany(FETCHED_AT_ONCE):
            for seen, row in enumerate(rows, 1):
                found = _wrong(*row)
                if found is not None:
                    yield seen, row[0], found
                    return
            yield len(rows), rows[-1][0], None


def _wrong(
    key: bytes,
    content: bytes,
    position: int,
    shard: int | None,
    member_id: str | None,
    payload: bytes | None,
) -> Finding | None:
    if shard is None or member_id is None or payload is None:
        what = f"of a request ({key.hex()}) stands for an input ({content.hex()}) that"
        what += " no shard has" if shard is None else f" is not at this position of shard {shard}"
        return _found("input_without_event", position, f"the dedupe row {what}")
    try:
        expected = request_of(member_id, decode_account_event(payload))
    except ValueError:
        return None  # the log is damaged there, which is told of that shard
    if key == expected:
        return None
    told = "none" if expected is None else expected.hex()
    return _found(
        "request_key",
        position,
        f"the dedupe row of a request has the key {key.hex()}, by the event of its input in shard"
        f" {shard} it is {told}",
    )


def _found(code: str, position: int, what: str) -> Finding:
    return Finding(code, SYSTEM_SHARD, what, RESTORE_INPUTS, position, TABLE)
