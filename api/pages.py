"""Pages of long lists: an opaque cursor says after what the next one begins.

A cursor belongs to one listing with its filters: one that was changed, or comes from another
listing, is refused. It holds nothing that the listing does not tell.
"""

import base64
import binascii
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query

from api.limits import PAGE_DEFAULT, PAGE_MAX
from api.problems import Problem

T = TypeVar("T")

CURSOR_CHARACTERS_MAX = 512
"""The longest has a member's id of 128 characters in it."""

_CHECK_BYTES = 8

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="At most so many items.")]
Cursor = Annotated[
    str | None,
    Query(
        max_length=CURSOR_CHARACTERS_MAX,
        description="`next` of the page before. Left out: the first page.",
    ),
]
NOTHING_BEFORE = ""
"""As the `after` of a first page by id: sorts before every id."""

DEFAULT = PAGE_DEFAULT


def cursor_of(listing: tuple[Any, ...], after: object) -> str:
    """The cursor of the items after `after`; `listing`: its name and filters."""
    text = msgspec.json.encode(after)
    return base64.urlsafe_b64encode(_check(listing, text) + text).rstrip(b"=").decode()


def after_of(listing: tuple[Any, ...], cursor: str | None, kind: type[T]) -> T | None:
    """After what the page begins; None: at the beginning. Raises Problem (422 bad_cursor)."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = base64.b64decode(padded, altchars=b"-_", validate=True)
        check, text = found[:_CHECK_BYTES], found[_CHECK_BYTES:]
        if check == _check(listing, text) and b"\\u0000" not in text:
            return msgspec.json.decode(text, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        pass
    raise Problem(
        422,
        "bad_cursor",
        "The cursor is not one of this listing with these filters: take `next` as it came, or leave"
        " it out.",
        path="cursor",
    )


def _check(listing: tuple[Any, ...], text: bytes) -> bytes:
    return sha256(repr(listing).encode() + b"\0" + text).digest()[:_CHECK_BYTES]


def cut(items: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """The page of what was asked for with one more, and whether there is more."""
    return items[:limit], len(items) > limit


def slice_of(
    listing: tuple[Any, ...], items: Sequence[T], cursor: str | None, limit: int
) -> tuple[Sequence[T], str | None]:
    """A page of a list that is whole in memory, by place, and the cursor of the next."""
    start = after_of(listing, cursor, int) or 0
    found, more = cut(items[start : start + limit + 1] if start >= 0 else (), limit)
    return found, cursor_of(listing, start + limit) if more else None
