"""Why a record did not decode, in words: the slow path of `schemas.decode`.

Turns what msgspec raises into `Malformed`: a stable code, the JSONPath of the field and a sentence
that says what to do. Runs only for records that are refused, so clarity counts here, not speed.
Unpaired surrogates and U+0000 are looked for here too, because msgspec's message hides them.
"""

import re
from difflib import get_close_matches
from itertools import islice
from typing import get_args

import msgspec

from schemas.errors import Code, Malformed
from schemas.inputs import InputEvent

_AT = re.compile(r"^(?P<what>.*) - at `(?P<path>(?:key in )?\$[^`]*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_EXPECTED = re.compile(
    r"^Expected `(?P<expected>[^`]*)`(?:, got `(?P<got>[^`]*)`|(?P<bound>[^,].*))?$", re.DOTALL
)
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_LAST_NAME = re.compile(r"([A-Za-z_]\w*)(?:\[(?:\d+|\.\.\.)\])*$")

NODES_MAX = 1_000_000
"""Most values looked at for U+0000: above what 1 MiB of JSON can hold in strings."""

ELEMENTS_MAX = 2_000
"""Most list elements tried to find the one that was refused: above every list's allowed length."""

_decode = msgspec.json.Decoder(InputEvent).decode

_NAMES = {
    "int": "a whole number",
    "float": "a number with a fraction",
    "str": "a string",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "datetime": "a time",
    "date": "a date",
    "decimal": "a decimal number",
}
_HINTS = {
    "amount": "Write money as an integer in minor units: 12990 for 129.90.",
    "points": "Write points as a whole number from 1.",
    "quantity": "Write for instance 2 or 0.482.",
    "time": "Write RFC 3339 with an offset: 2026-01-10T12:00:00+03:00.",
    "subject": "subject is the member_id: 1 to 128 of A-Z a-z 0-9 . _ : - (no e-mail address).",
    "currency": "Write the ISO 4217 code in capitals: RUB.",
    "birthday": "Write YYYY-MM-DD.",
    "datacontenttype": "Send data as application/json.",
    "specversion": 'Write "1.0".',
}
_ID_HINT = "Use 1 to 128 of the characters A-Z a-z 0-9 . _ : - only."

EVENT_TYPES: tuple[str, ...] = tuple(
    str(struct.__struct_config__.tag) for struct in get_args(InputEvent)
)
"""Every CloudEvents `type` of the contract."""


def explain(error: Exception, value: bytes) -> Malformed:
    """The `Malformed` for what was raised while decoding `value`."""
    if isinstance(error, RecursionError):
        return Malformed(Code.TOO_DEEP, "$", "The JSON is nested too deeply; flatten it.")
    if isinstance(error, UnicodeDecodeError):
        return Malformed(Code.NOT_UTF8, "$", "The value is not UTF-8; encode it so.")
    if not isinstance(error, msgspec.ValidationError):
        if has_lone_surrogate(value):
            return Malformed(
                Code.LONE_SURROGATE,
                "$",
                "A string holds half of a surrogate pair (\\ud800 to \\udfff), which is no"
                " character; remove it.",
            )
        return Malformed(Code.NOT_JSON, "$", f"The value is not one JSON document: {error}.")
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"]) if found else (str(error), "$")
    return _explain_validation(what, _with_index(path.replace("key in ", ""), str(error), value))


def _with_index(path: str, error: str, value: bytes) -> str:
    """`path` with the list index that msgspec leaves out (`[...]`): the first element that, alone
    in its list, is refused for the same reason. As it was, when there is none in reach."""
    before, dots, after = path.partition("[...]")
    if not dots:
        return path
    document = msgspec.json.decode(value)
    *parents, name = before.removeprefix("$.").split(".")
    holder = document
    for parent in parents:
        holder = holder[parent]
    elements = holder[name]
    for index, element in enumerate(islice(elements, ELEMENTS_MAX)):
        holder[name] = [element]
        try:
            _decode(msgspec.json.encode(document))
        except msgspec.ValidationError as again:
            if str(again) == error:
                return f"{before}[{index}]{after}"
    return path


def _explain_validation(what: str, path: str) -> Malformed:
    if found := _MISSING.match(what):
        name = found["name"]
        return Malformed(
            Code.MISSING_FIELD, f"{path}.{name}", f"{name} is missing; add it.{_hint(name)}"
        )
    if found := _UNKNOWN.match(what):
        name = found["name"]
        known = _field_names()
        # One that is a field elsewhere is no slip of the pen.
        near = [] if name in known else get_close_matches(name[:64], known, n=1)
        advice = f"did you mean {near[0]}?" if near else "remove it."
        return Malformed(
            Code.UNKNOWN_FIELD, f"{path}.{name}", f"{name[:64]} is not a field here; {advice}"
        )
    if path == "$.type":
        near = get_close_matches(what[:80], EVENT_TYPES, n=1, cutoff=0.4)
        advice = (
            f"; did you mean {near[0]}?" if near else f"; send one of {', '.join(EVENT_TYPES)}."
        )
        return Malformed(Code.UNKNOWN_TYPE, path, f"type is not known ({what}){advice}")
    last = _LAST_NAME.search(path)
    name = last[1] if last else "the value"
    hint = _hint(name)
    code = Code.BAD_QUANTITY if name == "quantity" else Code.INVALID_FIELD
    if "matching regex" in what:
        return Malformed(
            code,
            path,
            f"{name} has characters or a length that are not allowed.{hint or ' ' + _ID_HINT}",
        )
    if found := _EXPECTED.match(what):
        kinds = [_NAMES.get(kind, kind) for kind in found["expected"].split(" | ")]
        but = f", but is {_NAMES.get(found['got'], found['got'])}" if found["got"] else ""
        return Malformed(
            code, path, f"{name} must be {' or '.join(kinds)}{found['bound'] or ''}{but}.{hint}"
        )
    return Malformed(code, path, f"{name}: {what}.{hint}")


def _hint(name: str) -> str:
    return f" {_HINTS[name]}" if name in _HINTS else ""


def _field_names() -> list[str]:
    """Every field name of every `data`, for a suggestion."""
    names: set[str] = set()
    todo: list[object] = [msgspec.inspect.type_info(InputEvent)]
    while todo:
        info = todo.pop()
        if isinstance(info, msgspec.inspect.StructType):
            for field in info.fields:
                names.add(field.encode_name)
                todo.append(field.type)
        elif isinstance(info, msgspec.inspect.UnionType):
            todo.extend(info.types)
        elif isinstance(info, msgspec.inspect.VarTupleType):
            todo.append(info.item_type)
    return sorted(names)


def has_lone_surrogate(value: bytes) -> bool:
    """Whether an escape `\\ud800` to `\\udfff` in the JSON `value` lacks its other half."""
    high_end = -1  # where a high surrogate's escape ended
    for found in _ESCAPE.finditer(value):
        unit = int(found[1], 16) if found[1] else 0
        if 0xDC00 <= unit <= 0xDFFF:
            if high_end != found.start():
                return True
            high_end = -1
            continue
        if high_end >= 0:
            return True
        high_end = found.end() if 0xD800 <= unit <= 0xDBFF else -1
    return high_end >= 0


def find_nul(document: object) -> str | None:
    """JSONPath of the first string or key that holds U+0000, or None (no recursion)."""
    todo: list[tuple[str, object]] = [("$", document)]
    for _ in range(NODES_MAX):
        if not todo:
            return None
        path, node = todo.pop()
        if isinstance(node, str) and "\0" in node:
            return path
        if isinstance(node, dict):
            if any("\0" in key for key in node):
                return path
            todo.extend((f"{path}.{key}", child) for key, child in node.items())
        elif isinstance(node, list):
            todo.extend((f"{path}[{i}]", child) for i, child in enumerate(islice(node, NODES_MAX)))
    return None
