"""The headers of a Kafka record as a dead letter keeps them: every byte, whatever it is.

A header's name should be UTF-8, and its value may be any bytes. A name that is not UTF-8 is read
with surrogate escapes (`schemas.decode` refuses it) and written as bytes, so that it comes back as
it came. Nothing here raises for what a sender may have put into a header.
"""

from base64 import b64decode

import msgspec

Headers = tuple[tuple[str, bytes | None], ...]


def name_of(raw: bytes) -> str:
    """A header's name from its bytes; what is not UTF-8 in it becomes lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def write_headers(headers: Headers) -> bytes:
    """As JSON: pairs of name and value (base64), or triples without name but with its bytes."""
    if all(name.isascii() for name, _ in headers):
        return msgspec.json.encode(headers)
    return msgspec.json.encode([_written(name, value) for name, value in headers])


def read_headers(stored: bytes) -> Headers:
    """What `write_headers` wrote."""
    return tuple(_read(*one) for one in msgspec.json.decode(stored, type=list[list[str | None]]))


def _read(name: str | None, value: str | None, raw: str | None = None) -> tuple[str, bytes | None]:
    if name is None:
        assert raw is not None
        name = name_of(b64decode(raw))
    return name, None if value is None else b64decode(value)


def _written(name: str, value: bytes | None) -> tuple[object, ...]:
    raw = name.encode("utf-8", "surrogateescape")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return (None, value, raw)
    return (name, value)
