"""Snapshots: an account's whole state as bytes, and the hash that says which state that is.

A snapshot is a shortcut and never the truth: one with another `SCHEMA_HASH` is ignored and the
account folded from its log again. The hash covers the names and types of every field of the state,
in their order, and of the records that the state holds packed.
"""

import hashlib

import msgspec
from msgspec import inspect

from ledger.core.account import Account
from ledger.core.records import Order

MEANING = 1
"""To be raised when the state's meaning changes and its structure does not."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Account)


Structures = dict[str, list[tuple[str, str]]]
"""By name of a structure: its fields with their types, in order."""


def schema_hash(*roots: type) -> bytes:
    """The hash of everything that these structures hold: 32 bytes, the same in every process."""
    structures: Structures = {}
    for info in inspect.multi_type_info(roots):
        _told(info, structures)
    return hashlib.sha256(msgspec.json.encode([MEANING, structures])).digest()


def _told(info: object, structures: Structures) -> str:
    """A type as text; what the structures in it hold is noted in `structures`."""
    match info:
        case inspect.StructType():
            name = info.cls.__name__
            if name not in structures:
                fields = structures[name] = []
                fields.extend((one.name, _told(one.type, structures)) for one in info.fields)
            return name
        case inspect.Metadata():
            return _told(info.type, structures)  # without the description
        case inspect.Type():
            parts = (_told(getattr(info, name), structures) for name in info.__struct_fields__)
            return f"{type(info).__name__}({', '.join(parts)})"
        case tuple():
            return f"({', '.join(_told(one, structures) for one in info)})"
        case _:
            return repr(info)


SCHEMA_HASH: bytes = schema_hash(Account, Order)


def encode(account: Account) -> bytes:
    """The account as bytes."""
    return _encoder.encode(account)


def decode(snapshot: bytes) -> Account:
    """The account again. Raises msgspec.DecodeError for bytes of another structure."""
    return _decoder.decode(snapshot)
