"""Snapshots: an account's whole state as bytes, and the hash that says which state that is.

A snapshot is a shortcut and never the truth: one with another `SCHEMA_HASH` is ignored and the
account folded from its log again.
"""

import hashlib

import msgspec

from ledger.core.account import Account

MEANING = 1
"""To be raised when the state's meaning changes and its structure does not."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Account)

SCHEMA_HASH: bytes = hashlib.sha256(
    msgspec.json.encode([MEANING, msgspec.json.schema(Account)])
).digest()
"""Changes when the structure of the state does: 32 bytes, the same in every process."""


def encode(account: Account) -> bytes:
    """The account as bytes."""
    return _encoder.encode(account)


def decode(snapshot: bytes) -> Account:
    """The account again. Raises msgspec.DecodeError for bytes of another structure."""
    return _decoder.decode(snapshot)
