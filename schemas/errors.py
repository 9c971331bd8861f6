"""Why a record is not an input event: stable codes with the place and a sentence for a human.

`Malformed` is the only exception that reading a record may raise. Its code never changes meaning
(alerts, dead letters and producers' tests depend on it); its message says what to do and never
repeats more of the record than a short, printable piece.
"""

from enum import StrEnum

MESSAGE_MAX = 400
"""Longest message, in characters: it is stored with each dead letter and shown in one line."""


class Code(StrEnum):
    """Every reason why `schemas.decode` or `points publish` refuses a record."""

    EMPTY = "empty"
    """The record has no value."""
    TOO_LARGE = "too_large"
    """The value, or the `ce_` headers, are larger than the contract allows."""
    NOT_UTF8 = "not_utf8"
    """The value, or a header, is not UTF-8."""
    NOT_JSON = "not_json"
    """The value is not one JSON document."""
    TOO_DEEP = "too_deep"
    """Objects or arrays are nested deeper than the reader follows."""
    NUL_CHARACTER = "nul_character"
    """A string holds the character U+0000."""
    LONE_SURROGATE = "lone_surrogate"
    """A string holds one half of a surrogate pair, which is no character."""
    DUPLICATE_KEY = "duplicate_key"
    """An object names a key twice (found by `points publish`; a reader takes the last)."""
    CONTENT_TYPE = "content_type"
    """The content type is none that the contract knows."""
    UNKNOWN_TYPE = "unknown_type"
    """`type` is none of the contract's event types."""
    MISSING_FIELD = "missing_field"
    """A required field is not there."""
    UNKNOWN_FIELD = "unknown_field"
    """`data` holds a field that the contract does not know."""
    INVALID_FIELD = "invalid_field"
    """A field's value is of the wrong kind or out of its bounds."""
    BAD_QUANTITY = "bad_quantity"
    """A quantity is not a finite decimal of at most three places within its bounds."""
    DUPLICATE_LINE_ID = "duplicate_line_id"
    """Two lines of one purchase or return have the same `line_id`."""
    TIME_OUT_OF_RANGE = "time_out_of_range"
    """`time` is before 1970 or after 2200."""
    ANONYMOUS_REDEMPTION = "anonymous_redemption"
    """A purchase without a member says that points were spent on it."""
    INTERNAL_TYPE = "internal_type"
    """The type is written by the ledger only (`points publish` refuses it)."""


class Malformed(ValueError):
    """A record that is not an input event.

    `code`: one of `Code`. `path`: JSONPath of the place, `$` for the whole document (in the binary
    mode too: `ce_time` is `$.time`). `message`: a sentence that says what to do.
    """

    def __init__(self, code: str, path: str, message: str) -> None:
        self.code = str(code)
        self.path = printable(path)
        self.message = printable(message)
        super().__init__(f"{self.path}: {self.message} [{self.code}]")

    def __reduce__(self) -> tuple[type["Malformed"], tuple[str, str, str]]:
        return (Malformed, (self.code, self.path, self.message))


def printable(text: str) -> str:
    """`text` on one line: control characters escaped, cut at MESSAGE_MAX characters."""
    if len(text) > MESSAGE_MAX:
        text = text[: MESSAGE_MAX - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
