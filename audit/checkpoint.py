"""Checkpoints: all heads of one moment, signed, each naming the one before it.

A checkpoint is what the ledger's owner can no longer change once others have it: a log that was cut
off, restored from an older backup or computed anew does not hold its heads. Its content is
canonical JSON (keys sorted, no blanks, ASCII), so that anybody can compute the bytes that were
signed (docs/audit.md).
"""

import itertools
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct
from psycopg import Connection

from audit.check_proof import SIGNED
from audit.errors import AuditRefused
from audit.keys import key_id
from audit.plan import HeadRow
from audit.rows import rows
from audit.tree import Tree
from ledger.chain import Head, Link, genesis
from ledger.core.calendar import format_instant
from ledger.errors import ChainBroken
from schemas.fields import Instant

FORMAT = 1
"""Of the content: what it means must never change under a number."""

STRETCH_EVENTS = 10_000
"""Events of one reading: some seconds at most, between which a stop is heard."""


class ShardHead(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a shard's log ended: position, hash of the last event (hex), and the roots of the
    Merkle tree over the hashes of its events (hex, `audit.tree`)."""

    shard: int
    position: int
    hash: str
    tree: tuple[str, ...]


class Content(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed. `at`: the moment of the snapshot; `previous`: the hash of the content of
    checkpoint `number` − 1, None for the first; `key`: id of the key that signs."""

    format: int
    ledger_id: str
    program_id: str
    number: int
    at: str
    previous: str | None
    key: str
    shards: tuple[ShardHead, ...]


class Checkpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """A content with its signature (base64)."""

    content: Content
    signature: str


def canonical(content: Content) -> bytes:
    """The bytes of a content that are signed and hashed."""
    text = json.dumps(msgspec.to_builtins(content), sort_keys=True, separators=(",", ":"))
    return text.encode()


def hash_of(content: Content) -> str:
    """By which the next checkpoint names this one."""
    return sha256(canonical(content)).hexdigest()


def make(
    connection: Connection,
    key: Ed25519PrivateKey,
    identity: tuple[str, str],
    heads: dict[int, HeadRow],
    at: Instant,
    previous: Content | None,
    *,
    restored: bool = False,
) -> Checkpoint:
    """A checkpoint of the moment that the connection's transaction sees, after `previous`.

    `identity`: ledger id and program id. What the log gained since is verified on the way. Raises
    AuditRefused: log_damaged; not_held, where the log does not hold the previous checkpoint's heads
    and it is not declared that a backup was `restored` after that.
    """
    before = {} if previous is None else {each.shard: each for each in previous.shards}
    shards = [
        _shard(connection, identity[0], shard, head, before.get(shard), restored)
        for shard, head in sorted(heads.items())
    ]
    content = Content(
        FORMAT,
        *identity,
        1 if previous is None else previous.number + 1,
        format_instant(at),
        None if previous is None else hash_of(previous),
        key_id(key.public_key()),
        tuple(shards),
    )
    signature = key.sign(SIGNED + canonical(content))
    return Checkpoint(content, b64encode(signature).decode())


def _shard(
    connection: Connection,
    ledger_id: str,
    shard: int,
    head: HeadRow,
    before: ShardHead | None,
    restored: bool,
) -> ShardHead:
    if before is not None and before.position and not _is_held(connection, before):
        if not restored:
            raise AuditRefused(
                f"The log of shard {shard} does not hold position {before.position} of the"
                " checkpoint before: it was cut off, changed, or restored from an older backup. See"
                " `points audit verify --checkpoint`; a restore is declared by `points audit"
                " declare-restore`.",
                "not_held",
            )
        before = None  # another log since: its tree begins anew
    if before is None or not before.position:
        link, tree = Link(shard, Head(0, genesis(UUID(ledger_id), shard))), Tree()
    else:
        link = Link(shard, Head(before.position, bytes.fromhex(before.hash)))
        tree = Tree(before.position, [bytes.fromhex(root) for root in before.tree])
    failed: ChainBroken | None = None
    while link.position < head.position and failed is None:
        start = link.position
        for row in rows(connection, shard, start, min(start + STRETCH_EVENTS, head.position)):
            if failed is None:
                try:
                    link.follow(row)
                    tree.add(link.hash)
                except ChainBroken as error:
                    failed = error  # a COPY is read to its end
        if link.position == start:
            break
    if failed is not None or link.position != head.position or link.hash != head.hash:
        told = failed.message if failed is not None else f"Shard {shard} does not end as its head"
        raise AuditRefused(
            f"{told.rstrip('.')}: no checkpoint is made of a damaged log; see `points audit verify`"
            f" --shard {shard}.",
            "log_damaged",
        )
    return ShardHead(
        shard, link.position, link.hash.hex(), tuple(root.hex() for root in tree.roots)
    )


def _is_held(connection: Connection, before: ShardHead) -> bool:
    found = connection.execute(
        "SELECT hash FROM ledger.events WHERE shard = %s AND position = %s",
        (before.shard, before.position),
    ).fetchone()
    return found is not None and bytes(found[0]).hex() == before.hash


# --- files ----------------------------------------------------------------------------------------


def file_name(number: int) -> str:
    """Under which a checkpoint lies in its folder: names sort as numbers do."""
    return f"checkpoint-{number:08d}.json"


def write(folder: Path, checkpoint: Checkpoint) -> Path:
    """Put a checkpoint into its folder, whole or not at all. Raises OSError."""
    path = folder / file_name(checkpoint.content.number)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(encode(checkpoint))
    beside.replace(path)
    return path


def encode(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as it is published."""
    return msgspec.json.format(msgspec.json.encode(checkpoint)) + b"\n"


def read(path: Path) -> Checkpoint:
    """The checkpoint of a file; its signature is not checked. Raises AuditRefused
    (bad_checkpoint), OSError."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Checkpoint)
        for each in found.content.shards:
            Tree(each.position, [bytes.fromhex(root) for root in each.tree])
            bytes.fromhex(each.hash)
    except ValueError as error:  # msgspec's, and those of hex and tree
        raise _bad(path, f"is not what an audit writes ({error})") from error
    if found.content.format != FORMAT:
        raise _bad(path, f"has the format {found.content.format}, this version knows {FORMAT}")
    return found


def read_all(place: Path) -> list[tuple[Path, Checkpoint]]:
    """The checkpoints of a folder in their order, or the one of a file.

    Where two follow each other, the second names the first. Raises AuditRefused (bad_checkpoint,
    no_checkpoint), OSError.
    """
    paths = sorted(place.glob("checkpoint-*.json")) if place.is_dir() else [place]
    if not paths:
        raise AuditRefused(
            f"{place} holds no checkpoint: make one with `points audit checkpoint`.",
            "no_checkpoint",
        )
    found = [(path, read(path)) for path in paths]
    for (_, before), (path, after) in itertools.pairwise(found):
        follows = after.content.number == before.content.number + 1
        if follows and after.content.previous != hash_of(before.content):
            raise _bad(path, "does not name the checkpoint before it")
    return found


def check_signatures(checkpoints: Iterable[tuple[Path, Checkpoint]], key: Ed25519PublicKey) -> None:
    """Raises AuditRefused (bad_checkpoint)."""
    for path, checkpoint in checkpoints:
        try:
            signature = b64decode(checkpoint.signature, validate=True)
            key.verify(signature, SIGNED + canonical(checkpoint.content))
        except (InvalidSignature, ValueError):
            raise _bad(path, f"was not signed so with this key ({key_id(key)})") from None


def _bad(path: Path, reason: str) -> AuditRefused:
    return AuditRefused(
        f"{path} {reason}: get it again from where it was published.", "bad_checkpoint"
    )
