"""The canonical content of a program, and the version named by its hash.

Two files that mean the same have the same canonical content: keys sorted, defaults left out, times
in UTC, durations and ratios in one normal form, a single text as a list of one, a condition that
asks nothing as none. Layout, comments and the order of keys change nothing; that of rules does.
"""

import hashlib
import json
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import fields as struct_fields

from ledger.core.calendar import format_instant, to_instant
from ledger.core.program import form
from ledger.core.program.duration import Duration, Ratio, parse_duration, parse_ratio

_ASKS_NOTHING: tuple[Any, ...] = (form.When(), form.Lines(), form.Validity())
"""Parts that say the same as their absence."""

_ONE_OR_MORE: tuple[Any, ...] = (form.Texts, form.Texts | None, form.Ids)
"""Types of the keys that take one text or a list: one text is written as a list of one."""


def decode_hook(kind: type, value: Any) -> Any:
    """Durations and ratios from their texts, for msgspec. Raises ValueError with a sentence."""
    if kind is Duration:
        if not isinstance(value, str):
            raise ValueError("a duration is a text such as P14D, P6M or PT30M")
        return parse_duration(value)
    if kind is Ratio:
        if not isinstance(value, str | int):
            raise ValueError('an exact number is written in quotes, for instance "1.2"')
        return parse_ratio(value)
    raise NotImplementedError(kind)


def canonical(program: form.Program) -> bytes:
    """The canonical content: UTF-8 JSON without blanks, keys sorted."""
    plain = _plain(program)
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def version_of(program: form.Program) -> str:
    """The program version: SHA-256 of the canonical content, in hex."""
    return hashlib.sha256(canonical(program)).hexdigest()


def from_canonical(content: bytes) -> form.Program:
    """The program that `canonical` wrote. Raises msgspec.ValidationError for anything else."""
    return msgspec.json.decode(content, type=form.Program, dec_hook=decode_hook)


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _plain_struct(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Duration | Ratio):
        return str(value)
    if isinstance(value, datetime):
        return format_instant(to_instant(value))
    return value


def _plain_struct(value: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in struct_fields(value):
        part = getattr(value, field.name)
        if field.name == "when" and isinstance(part, str):
            part = form.When(expression=part)
        if part in _ASKS_NOTHING:
            part = None
        if not field.required and part == field.default:
            continue
        if isinstance(part, str) and field.type in _ONE_OR_MORE:
            part = (part,)
        plain[field.encode_name] = _plain(part)
    return plain
