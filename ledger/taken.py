"""What was decided on inputs that were taken before: the answer to a sender who asks again."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from ledger.accounts import account_id_of
from ledger.core.calendar import to_instant
from ledger.dedupe import key_of
from ledger.lookups import Connection
from ledger.sharding import shard_of
from schemas.decisions import AccountEvent, InputForwarded, InputRefused
from schemas.fields import Instant
from schemas.inputs import InputEvent
from schemas.log_events import decode_account_event
from schemas.routing import key_of as routing_key


class Taken(Struct, frozen=True):
    """Where the log has an input, and the event of `member_id` that answered it: not the one that
    lies there when it was passed on to another account. `occurred_at`: the input's moment."""

    shard: int
    position: int
    member_id: str
    occurred_at: Instant
    decision: AccountEvent
    passed_on: bool = False


_TAKEN = """
SELECT i.key, i.shard, i.position, e.member_id, e.occurred_at, e.payload
FROM unnest(%s::integer[], %s::bytea[]) AS asked (shard, key)
JOIN ledger.inputs i ON i.shard = asked.shard AND i.key = asked.key
JOIN ledger.events e ON e.shard = i.shard AND e.position = i.position
"""


_EVENTS = """
SELECT version, payload FROM ledger.events
WHERE shard = %s AND account_id = %s AND version < %s ORDER BY version DESC LIMIT %s
"""

EVENTS_AT_ONCE = 100
"""Events of an account that are read at once: most answers are among its newest."""

_NEWEST = 2**63 - 1


async def find_taken(
    connection: Connection, events: Sequence[InputEvent], program_id: str, shards: int
) -> dict[bytes, Taken]:
    """By their keys, those of the inputs that were taken."""
    places = [(shard_of(routing_key(event), shards), key_of(event)) for event in events]
    cursor = await connection.execute(
        _TAKEN, ([shard for shard, _ in places], [key for _, key in places])
    )
    found = {}
    for key, shard, position, member_id, occurred_at, payload in await cursor.fetchall():
        decision = decode_account_event(payload)
        passed_on = isinstance(decision, InputForwarded)
        if isinstance(decision, InputForwarded):
            to = decision.to
            decision = await _answer(connection, decision, member_id, program_id, shards)
            member_id = to
        found[key] = Taken(shard, position, member_id, to_instant(occurred_at), decision, passed_on)
    return found


async def _answer(
    connection: Connection, passed_on: InputForwarded, named: str, program_id: str, shards: int
) -> AccountEvent:
    """The event that answered an input, of the member `named`, on the account that it was passed on
    to. Rare: so the account's events are read, newest first.

    In pages, not as a stream: one that is closed early is cancelled, and what it leaves behind in
    the session, or a cancellation that comes late, breaks whatever the session is used for next.
    """
    place = (shard_of(passed_on.to, shards), account_id_of(program_id, passed_on.to))
    before = _NEWEST
    rows: list[Any] | None = None
    while rows is None or len(rows) == EVENTS_AT_ONCE:
        cursor = await connection.execute(_EVENTS, (*place, before, EVENTS_AT_ONCE))
        rows = await cursor.fetchall()
        for version, payload in rows:
            before = version
            event = decode_account_event(payload)
            if _answers(event, passed_on, named):
                return event
    return passed_on


def _answers(event: AccountEvent, passed_on: InputForwarded, named: str) -> bool:
    """Whether it is the answer to that input. A sender may use one key for inputs of two types, or
    of two members: they differ in type, which a refusal tells, in the member, or in the moment."""
    if (event.cause, event.addressed, event.occurred_at) != (
        passed_on.cause,
        named,
        passed_on.occurred_at,
    ):
        return False
    return not isinstance(event, InputRefused) or event.input_type == passed_on.input_type
