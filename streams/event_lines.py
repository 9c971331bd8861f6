"""Lines of a JSONL file of events: each checked like a record, before anything is produced.

Stricter than the reader: a key that an object names twice, the ledger's own types and types that
are not consumed yet are refused here. Bounded memory whatever the file's size: lines are read one
by one, and no line is kept. Read twice: once to check, once to produce.
"""

import json
from collections.abc import Iterator
from typing import BinaryIO

from msgspec import Struct

from schemas.decode import VALUE_BYTES_MAX, decode_record
from schemas.errors import Code, Malformed
from schemas.routing import key_of, topic_of, type_of
from schemas.texts import INTERNAL_PREFIXES

_UTF8_BOM = b"\xef\xbb\xbf"


class BadLine(Struct, frozen=True):
    """Why line `line` (1, 2, 3 …) is refused."""

    line: int
    code: str
    path: str
    message: str


class GoodLine(Struct, frozen=True):
    """A line that can be produced. `type` is the CloudEvents type."""

    line: int
    type: str
    topic: str
    key: str
    value: bytes


def read_lines(file: BinaryIO) -> Iterator[GoodLine | BadLine]:
    """Every line of the file but blank ones, checked. Raises OSError."""
    for number, text in _lines(file):
        try:
            yield check_line(number, text)
        except Malformed as error:
            yield BadLine(number, error.code, error.path, error.message)


def check_line(number: int, text: bytes) -> GoodLine:
    """The event on one line. Raises Malformed."""
    event = decode_record(text)
    name = type_of(event)
    topic = topic_of(event)
    if name.startswith(INTERNAL_PREFIXES):
        raise Malformed(
            Code.INTERNAL_TYPE, "$.type", f"{name} is the ledger's own type; leave it out."
        )
    _refuse_duplicate_keys(text)
    return GoodLine(number, name, topic, key_of(event), text)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line that is not blank; of one too long, enough to refuse it."""
    limit = VALUE_BYTES_MAX + 2  # room for the line's end
    number = 0
    while text := file.readline(limit):
        number += 1
        rest = text
        while not rest.endswith(b"\n") and len(rest) == limit:
            rest = file.readline(limit)
        if number == 1:
            text = text.removeprefix(_UTF8_BOM)
        if text := text.strip(b" \t\r\n"):
            yield number, text


def _refuse_duplicate_keys(text: bytes) -> None:
    def pairs(items: list[tuple[str, object]]) -> None:
        names: set[str] = set()
        for name, _ in items:
            if name in names:
                raise Malformed(
                    Code.DUPLICATE_KEY,
                    f"$..{name}",
                    f"{name} stands twice in one object; a reader would take the last one. Name it"
                    " once.",
                )
            names.add(name)

    try:
        json.loads(text, object_pairs_hook=pairs, parse_float=_ignore, parse_int=_ignore)
    except RecursionError:
        raise Malformed(Code.TOO_DEEP, "$", "The JSON is nested too deeply; flatten it.") from None


def _ignore(_: str) -> None:
    return None
