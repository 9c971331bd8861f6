"""Where two documents first differ, named by a path that a person can follow."""

from typing import Any

import msgspec

ONLY_BYTES = "(bytes)"
"""The path of a difference that is in no value: the same document, written otherwise."""

SHOWN_MAX = 200
"""Characters of a value that are shown: enough to see what differs, no whole purchase."""

_MISSING = object()


def first_difference(stored: bytes, other: bytes) -> tuple[str, str, str]:
    """(path, stored value, other value) of the first difference of two JSON documents. Bytes that
    are no JSON differ as a whole."""
    try:
        one, two = msgspec.json.decode(stored), msgspec.json.decode(other)
    except msgspec.DecodeError:
        return ONLY_BYTES, _shown(stored.decode("utf-8", "replace")), _shown(other.decode())
    found = _difference(one, two, "")
    if found is None:
        return ONLY_BYTES, "the same document in other bytes", "the bytes that the ledger writes"
    path, left, right = found
    return path, _json(left), _json(right)


def _difference(one: Any, two: Any, path: str) -> tuple[str, Any, Any] | None:
    if isinstance(one, dict) and isinstance(two, dict):
        for key in [*one, *(key for key in two if key not in one)]:
            inner = f"{path}.{key}" if path else str(key)
            found = _difference(one.get(key, _MISSING), two.get(key, _MISSING), inner)
            if found is not None:
                return found
        return None
    if isinstance(one, list) and isinstance(two, list):
        for place in range(max(len(one), len(two))):
            left = one[place] if place < len(one) else _MISSING
            right = two[place] if place < len(two) else _MISSING
            found = _difference(left, right, f"{path}[{place}]")
            if found is not None:
                return found
        return None
    return None if one == two and type(one) is type(two) else (path, one, two)


def _json(value: Any) -> str:
    return "nothing" if value is _MISSING else _shown(msgspec.json.encode(value).decode())


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + " …"
