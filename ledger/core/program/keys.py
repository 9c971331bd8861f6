"""Which keys and values the form of a program has at a path: for sentences in errors and for docs.

Everything is read from the types in `form`, so that it cannot differ from what is accepted.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import inspect

from ledger.core.program import form

_ROOT = inspect.type_info(form.Program)


def types_at(path: Sequence[str | int]) -> list[Any]:
    """The `msgspec.inspect` types that a value at `path` may have; none for an unknown path."""
    here = _members(_ROOT)
    for key in path:
        here = [found for kind in here for found in _step(kind, key)]
    return here


def known_keys(path: Sequence[str | int]) -> list[str]:
    """The keys that a block at `path` may have."""
    return [
        field.encode_name
        for kind in types_at(path)
        if isinstance(kind, inspect.StructType)
        for field in kind.fields
    ]


def required_keys(path: Sequence[str | int]) -> list[str]:
    """The keys that a block at `path` must have."""
    return [
        field.encode_name
        for kind in types_at(path)
        if isinstance(kind, inspect.StructType)
        for field in kind.fields
        if field.required
    ]


def literals(path: Sequence[str | int]) -> list[str]:
    """The words that a value at `path` may be."""
    return [
        str(value)
        for kind in types_at(path)
        if isinstance(kind, inspect.LiteralType)
        for value in kind.values
    ]


def every_key() -> Iterator[tuple[str, str]]:
    """Every key of the form as (path, the docstring of the block it belongs to), in order.

    Lists are written `earn[]`. The form has no block within itself, so this ends.
    """
    yield from _keys_below(_members(_ROOT), "")


def _keys_below(kinds: list[Any], path: str) -> Iterator[tuple[str, str]]:
    for kind in kinds:
        if isinstance(kind, inspect.StructType):
            for field in kind.fields:
                below = f"{path}.{field.encode_name}" if path else field.encode_name
                yield below, (kind.cls.__doc__ or "").strip()
                yield from _keys_below(_members(field.type), below)
        elif isinstance(kind, inspect.VarTupleType):
            yield from _keys_below(_members(kind.item_type), f"{path}[]")


def _members(kind: Any) -> list[Any]:
    if isinstance(kind, inspect.Metadata):
        return _members(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [found for each in kind.types for found in _members(each)]
    return [] if isinstance(kind, inspect.NoneType) else [kind]


def _step(kind: Any, key: str | int) -> list[Any]:
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            if field.encode_name == key:
                return _members(field.type)
    elif isinstance(kind, inspect.VarTupleType) and isinstance(key, int):
        return _members(kind.item_type)
    return []
