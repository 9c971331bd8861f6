"""Cursors of pages: opaque to callers, and refused when they are not ours."""

import base64
import binascii
from typing import TypeVar

import msgspec

from api.problems import Problem

CURSOR_CHARACTERS_MAX = 200

T = TypeVar("T")


def cursor_of(*place: str | int) -> str:
    """The cursor that says: what comes after this place."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, kind: type[T]) -> T:
    """The place. Raises Problem (422 bad_cursor)."""
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise ValueError
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=kind)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise Problem(
            422, "bad_cursor", "The cursor is none of ours: begin without one.", path="cursor"
        ) from None
