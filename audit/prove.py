"""The proof that an event is under a checkpoint: its row, the hash before it, one hash per level.

Made from the database, checked without it (`audit/check_proof.py`). The subtrees beside the event's
way to the root are hashed as their events stream by; memory does not grow with them.
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import Connection

from audit.checkpoint import Content, hash_of
from audit.errors import AuditRefused
from audit.rows import body_of, rows
from audit.tree import leaf, node, root_of, siblings, subtree_of
from ledger.chain import genesis

FORMAT = 1

_HASHES = (
    "SELECT hash FROM ledger.events WHERE shard = %s AND position >= %s AND position < %s"
    " ORDER BY position"
)
FETCHED_AT_ONCE = 10_000
"""Hashes in memory while a subtree streams by: some hundred kilobytes."""


def prove(connection: Connection, content: Content, shard: int, position: int) -> dict[str, Any]:
    """The proof. `connection` is within a transaction.

    Raises AuditRefused: not_covered; not_held, where the log is no longer the one that the
    checkpoint was made of.
    """
    heads = {each.shard: each for each in content.shards}
    head = heads.get(shard)
    if head is None or not 1 <= position <= head.position:
        reaches = "does not know it" if head is None else f"reaches position {head.position}"
        raise AuditRefused(
            f"Shard {shard}, position {position} is not under checkpoint {content.number}, which"
            f" {reaches}: name a later checkpoint, or another place.",
            "not_covered",
        )
    found = list(rows(connection, shard, max(position - 2, 0), position))
    before = found[0][-32:] if position > 1 else genesis(UUID(content.ledger_id), shard)
    number, first, size = subtree_of(head.position, position)
    try:
        path = [
            root_of(_hashes(connection, shard, start, start + width))
            for start, width in siblings(first, size, position)
        ]
    except ValueError as error:
        raise _not_held(content, shard) from error
    root, index = leaf(found[-1][-32:]), position - first
    for beside in path:
        root = node(beside, root) if index & 1 else node(root, beside)
        index >>= 1
    if root.hex() != head.tree[number]:
        raise _not_held(content, shard)
    return {
        "format": FORMAT,
        "ledger_id": content.ledger_id,
        "shard": shard,
        "position": position,
        "checkpoint": hash_of(content),
        "previous": before.hex(),
        "row": b64encode(body_of(found[-1])).decode(),
        "path": [each.hex() for each in path],
    }


def _hashes(connection: Connection, shard: int, start: int, end: int) -> Iterator[bytes]:
    with connection.cursor(binary=True) as cursor:
        for (found,) in cursor.stream(_HASHES, (shard, start, end), size=FETCHED_AT_ONCE):
            yield found


def _not_held(content: Content, shard: int) -> AuditRefused:
    return AuditRefused(
        f"The log of shard {shard} is not the one that checkpoint {content.number} was made of: see"
        " `points audit verify --checkpoint`.",
        "not_held",
    )
