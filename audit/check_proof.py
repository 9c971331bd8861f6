"""Checks, with nothing but this file, that an event is under a signed checkpoint of the ledger.

    python check_proof.py PROOF CHECKPOINT PUBLIC_KEY

Needs Python 3.11 and the package `cryptography`; no database, no network, and none of the ledger's
code. PROOF comes from `points audit prove`, CHECKPOINT from `points audit checkpoint`, and the
public key from whoever published it. Exit status 0 and the event, if it is proved; else 1 and why
not.

What is checked: the signature of the checkpoint (Ed25519); that the event's hash is SHA-256 of the
hash before it and of its stored columns; that this hash is a leaf of the Merkle tree whose roots
the checkpoint holds (leaf = SHA-256(0 | hash), node = SHA-256(1 | left | right), as in RFC 6962).
"""

import json
import sys
from base64 import b64decode
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from struct import pack, unpack
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

SIGNED = b"points-ledger checkpoint 1\n"
"""What a signature begins with, so that it is one of a checkpoint and of nothing else."""

EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
COLUMNS = 10

Json = dict[str, Any]


class NotProved(Exception):
    """The proof does not hold; the text says why."""


def check(proof: Json, checkpoint: Json, public_pem: bytes) -> Json:
    """The event's columns. Raises NotProved."""
    content = checkpoint["content"]
    check_signature(content, checkpoint["signature"], public_pem)
    body = b64decode(proof["row"], validate=True)
    event = columns(body)
    shard, position = event["shard"], event["position"]
    if content["ledger_id"] != proof["ledger_id"]:
        raise NotProved("the proof and the checkpoint are of two ledgers")
    heads = {each["shard"]: each for each in content["shards"]}
    if shard not in heads or not 1 <= position <= heads[shard]["position"]:
        raise NotProved(f"the checkpoint does not reach shard {shard}, position {position}")
    previous = bytes.fromhex(proof["previous"])
    if position == 1:
        first = sha256(UUID(content["ledger_id"]).bytes + pack("!i", shard)).digest()
        if previous != first:
            raise NotProved("the first event of the shard continues another hash than it must")
    link = sha256(previous + body).digest()
    check_tree(heads[shard], position, link, [bytes.fromhex(each) for each in proof["path"]])
    return {**event, "hash": link.hex(), "checkpoint": content["number"], "at": content["at"]}


def check_signature(content: Json, signature: str, public_pem: bytes) -> None:
    """Raises NotProved."""
    key = load_pem_public_key(public_pem)
    if not isinstance(key, Ed25519PublicKey):
        raise NotProved("the public key is not of Ed25519")
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    try:
        key.verify(b64decode(signature, validate=True), SIGNED + canonical)
    except (InvalidSignature, ValueError):
        raise NotProved("the checkpoint was not signed so with this key") from None


def check_tree(head: Json, position: int, link: bytes, path: list[bytes]) -> None:
    """Whether `link` is the leaf of `position` under the checkpoint's tree. Raises NotProved."""
    count, roots = head["position"], head["tree"]
    if position == count and link.hex() != head["hash"]:
        raise NotProved("the event is not the head that the checkpoint names")
    levels = [level for level in reversed(range(count.bit_length())) if count >> level & 1]
    if len(levels) != len(roots):
        raise NotProved("the checkpoint's tree has not one root for each subtree")
    number, index = 0, position - 1
    while index >= 1 << levels[number]:
        index -= 1 << levels[number]
        number += 1
    root, level = roots[number], levels[number]
    if len(path) != level:
        raise NotProved(f"the proof has {len(path)} hashes, its subtree {level} levels")
    found = sha256(b"\x00" + link).digest()
    for beside in path:
        pair = beside + found if index & 1 else found + beside
        found = sha256(b"\x01" + pair).digest()
        index >>= 1
    if found.hex() != root:
        raise NotProved("the event is not in the log that the checkpoint was made of")


def columns(body: bytes) -> Json:
    """The stored columns: each a 4-byte big-endian length and PostgreSQL's binary form."""
    fields, at = [], 0
    while at < len(body):
        (length,) = unpack("!i", body[at : at + 4])
        fields.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    if len(fields) != COLUMNS or at != len(body):
        raise NotProved(f"the row has {len(fields)} columns, not {COLUMNS}")
    shard, position, account, member, version, kind, occurred, recorded, effects, payload = fields
    return {
        "shard": unpack("!i", shard)[0],
        "position": unpack("!q", position)[0],
        "account_id": str(UUID(bytes=account)),
        "member_id": member.decode(),
        "version": unpack("!i", version)[0],
        "type": kind.decode(),
        "occurred_at": moment(occurred),
        "recorded_at": moment(recorded),
        "effects": unpack("!h", effects)[0],
        "payload": json.loads(payload),
    }


def moment(value: bytes) -> str:
    """Microseconds since 2000, as RFC 3339."""
    return (EPOCH + timedelta(microseconds=unpack("!q", value)[0])).isoformat()


def main(arguments: list[str]) -> int:
    """Check the files named; the exit status."""
    if len(arguments) != 3:
        print("usage: python check_proof.py PROOF CHECKPOINT PUBLIC_KEY", file=sys.stderr)
        return 2
    proof, checkpoint, key = arguments
    try:
        with open(proof, "rb") as a, open(checkpoint, "rb") as b, open(key, "rb") as c:
            event = check(json.load(a), json.load(b), c.read())
    except NotProved as reason:
        print(f"NOT PROVED: {reason}", file=sys.stderr)
        return 1
    except Exception as error:  # whatever a forged file makes of it is no proof
        print(f"NOT PROVED: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(event, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
