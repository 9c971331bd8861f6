"""What was decided on inputs that were taken before: the answer to a sender who asks again."""

from collections.abc import Sequence

from msgspec import Struct

from ledger.core.calendar import to_instant
from ledger.dedupe import key_of
from ledger.lookups import Connection
from ledger.sharding import shard_of
from schemas.decisions import AccountEvent
from schemas.fields import Instant
from schemas.inputs import InputEvent
from schemas.log_events import decode_account_event
from schemas.routing import key_of as routing_key


class Taken(Struct, frozen=True):
    """The event that answered an input, and where it lies. `occurred_at`: the input's moment."""

    shard: int
    position: int
    member_id: str
    occurred_at: Instant
    decision: AccountEvent


_TAKEN = """
SELECT i.key, i.shard, i.position, e.member_id, e.occurred_at, e.payload
FROM unnest(%s::integer[], %s::bytea[]) AS asked (shard, key)
JOIN ledger.inputs i ON i.shard = asked.shard AND i.key = asked.key
JOIN ledger.events e ON e.shard = i.shard AND e.position = i.position
"""


async def find_taken(
    connection: Connection, events: Sequence[InputEvent], shards: int
) -> dict[bytes, Taken]:
    """By their keys, those of the inputs that were taken."""
    places = [(shard_of(routing_key(event), shards), key_of(event)) for event in events]
    cursor = await connection.execute(
        _TAKEN, ([shard for shard, _ in places], [key for _, key in places])
    )
    return {
        row[0]: Taken(row[1], row[2], row[3], to_instant(row[4]), decode_account_event(row[5]))
        for row in await cursor.fetchall()
    }
