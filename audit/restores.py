"""Restores to before a published checkpoint: which are declared, and what one has to declare.

A checkpoint's head that the log does not hold is a finding, unless an event of the system shard
says that a backup was restored after that checkpoint: who, and why. The declaration is in the log
for ever, and under the next checkpoint; it makes nothing whole, it makes it known.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from psycopg import Connection

from audit.checkpoint import Checkpoint, Content, ShardHead, hash_of
from audit.errors import AuditRefused
from ledger.sharding import SYSTEM_SHARD
from schemas.decisions import RestoreDeclared
from schemas.fields import Instant
from schemas.log_events import decode_system_event

_DECLARED = """
SELECT payload FROM ledger.events WHERE shard = %s AND type = 'RestoreDeclared' ORDER BY position
"""
_THERE = """
SELECT asked.n, e.hash, h.position
FROM unnest(%s::integer[], %s::bigint[]) WITH ORDINALITY AS asked (shard, position, n)
LEFT JOIN ledger.events e ON e.shard = asked.shard AND e.position = asked.position
LEFT JOIN ledger.heads h ON h.shard = asked.shard
"""


class NotHeld(Struct, frozen=True):
    """A checkpoint's head that the log does not hold. `stored`: the hash that is there instead,
    None if the log ends before; `end`: where it ends."""

    head: ShardHead
    stored: bytes | None
    end: int


def not_held(connection: Connection, heads: Sequence[ShardHead]) -> list[NotHeld]:
    """Those of a checkpoint's heads that the log does not hold."""
    asked = [head for head in heads if head.position]
    rows = connection.execute(
        _THERE, ([head.shard for head in asked], [head.position for head in asked])
    ).fetchall()
    found = []
    for number, stored, end in sorted(rows, key=lambda row: row[0]):
        head = asked[number - 1]
        if stored is None or bytes(stored).hex() != head.hash:
            found.append(NotHeld(head, None if stored is None else bytes(stored), end or 0))
    return found


def declared(connection: Connection) -> dict[str, RestoreDeclared]:
    """The restores that the log declares, by the hash of the newest checkpoint before each."""
    found = {}
    for (payload,) in connection.execute(_DECLARED, (SYSTEM_SHARD,)).fetchall():
        event = decode_system_event(bytes(payload))
        assert isinstance(event, RestoreDeclared)
        found[event.checkpoint] = event
    return found


def declared_for(
    restores: dict[str, RestoreDeclared],
    checkpoints: Sequence[tuple[Path, Checkpoint]],
    content: Content,
) -> RestoreDeclared | None:
    """The restore that explains why a checkpoint is not held: one that was declared after it. Only
    those whose newest checkpoint is among `checkpoints` count."""
    for _, each in checkpoints:
        restored = restores.get(hash_of(each.content))
        if restored is not None and content.number <= restored.number:
            return restored
    return None


def to_declare(
    connection: Connection, newest: Content, actor: str, reason: str, at: Instant
) -> RestoreDeclared:
    """What to append. Raises AuditRefused: nothing_lost, declared_already."""
    lost = not_held(connection, newest.shards)
    if not lost:
        raise AuditRefused(
            f"The log holds every head of checkpoint {newest.number}: there is nothing to declare.",
            "nothing_lost",
        )
    name = hash_of(newest)
    if name in declared(connection):
        raise AuditRefused(
            f"It is declared already that the log was restored to before checkpoint"
            f" {newest.number}: make the next checkpoint.",
            "declared_already",
        )
    return RestoreDeclared(
        occurred_at=at,
        actor=actor,
        reason=reason,
        number=newest.number,
        checkpoint=name,
        lost=tuple((each.head.shard, each.end, each.head.position) for each in lost),
    )
