"""A document turned into the program's form, with every misfit told, not only the first.

The conversion stops at its first misfit. So a misfit is told, taken out of the tree, and the
conversion tried again; a block that misses what was taken out goes too, without a word. What comes
out in the end, if anything was taken out, serves only to look for further problems.
"""

import difflib
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import inspect

from ledger.core.program import form
from ledger.core.program.canonical import decode_hook
from ledger.core.program.document import Node
from ledger.core.program.duration import Duration
from ledger.core.program.keys import known_keys, literals, required_keys, types_at
from ledger.core.program.problems import PROBLEMS_MAX, Problem

_AT = re.compile(r" - at `\$(?P<path>.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(.*)`$")
_TYPE = re.compile(r"^Expected `([^`]*)`, got `([^`]*)`$")
_LEAST = re.compile(r"^Expected `int` >= (-?\d+)$")
_MOST = re.compile(r"^Expected `int` <= (-?\d+)$")
_LENGTH = re.compile(r"^Expected `(str|array)` of length (>=|<=) (\d+)$")
_REGEX = re.compile(r"^Expected `str` matching regex (.*)$", re.DOTALL)

_TYPE_NAMES = {
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a block of keys",
    "datetime": "a moment such as 2017-01-01T00:00:00Z",
}

_STAND_INS: dict[str, Any] = {
    "program": "p",
    "currency": "XXX",
    "time_zone": "UTC",
    "effective_from": "2000-01-01T00:00:00Z",
    "point_value": 1,
    "activation": "immediately",
    "expiry": "never",
    "earn": [{"id": "r", "award": {"fixed": 1}}],
}
"""For keys of the whole program that are missing or misfit: the rest can be judged still."""


def fit(
    root: Node, unusable: Sequence[Node]
) -> tuple[form.Program | None, list[Problem], set[Node]]:
    """The program as far as it fits (None when nothing does), the misfits, and the nodes from
    which something was taken out, so that what they miss tells nothing.

    `unusable` nodes are taken out first; problems about them are told already.
    """
    fitting = _Fitting(root)
    for node in unusable:
        fitting.take_out(node)
    # Each round takes out a node or stands in for a key of the root; the bound is for certainty.
    for _ in range(PROBLEMS_MAX):
        plain = {**fitting.stand_ins, **root.plain()}
        try:
            program = msgspec.convert(plain, form.Program, dec_hook=decode_hook)
        except msgspec.ValidationError as error:
            fitting.handle(str(error))
        else:
            return program, fitting.problems, fitting.damaged
    return None, fitting.problems, fitting.damaged


class _Fitting:
    def __init__(self, root: Node) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self.stand_ins: dict[str, Any] = {}
        self.damaged: set[Node] = set()
        self._taken: set[tuple[Node, str]] = set()

    def take_out(self, node: Node) -> None:
        """Take a node out of the tree, remembering that its key is no longer missed."""
        if node.parent is not None:
            self._taken.add((node.parent, node.path.rpartition(".")[2]))
            self.damaged.update(node.ancestors())
            node.remove()

    def handle(self, error: str) -> None:
        """Tell one misfit and take it out."""
        found = _AT.search(error)
        text = error[: found.start()] if found else error
        path = [
            int(step[2]) if step[2] else step[1]
            for step in _STEP.finditer(found["path"] if found else "")
        ]
        node = self.root.near(*path)
        missing = _MISSING.match(text)
        unknown = _UNKNOWN.match(text)
        if missing:
            self._missing(node, path)
        elif unknown:
            key = unknown[1]
            child = node.child(key)
            if child is None:
                raise AssertionError(error)
            self._tell(child, "unknown_key", _unknown_sentence(key, known_keys(path)))
            self.take_out(child)
        else:
            code, message = _value_sentence(text, path, node.value)
            if not (_LENGTH.match(text) and node in self.damaged):
                self._tell(node, code, message)
            self.take_out(node)

    def _missing(self, node: Node, path: list[str | int]) -> None:
        for key in required_keys(path):
            if node.child(key) is not None:
                continue
            if (node, key) not in self._taken:
                below = f"{node.path}.{key}" if node.path else key
                message = f"the key `{key}` is missing"
                self.problems.append(Problem(node.line, below, "missing_key", message))
            if node is self.root:
                self.stand_ins[key] = _STAND_INS[key]
        if node is not self.root:
            self.take_out(node)

    def _tell(self, node: Node, code: str, message: str) -> None:
        self.problems.append(Problem(node.line, node.path, code, message))


def _unknown_sentence(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
    return f"the key `{key}` is not known here; {hint}"


def _value_sentence(text: str, path: Sequence[str | int], value: Any) -> tuple[str, str]:
    kinds = types_at(path)
    if any(isinstance(kind, inspect.DateTimeType) for kind in kinds):
        return "bad_moment", (
            f"{value!r} is not a moment that exists; write date, time and offset, as in "
            "2017-01-01T00:00:00Z"
        )
    if any(isinstance(kind, inspect.CustomType) and kind.cls is Duration for kind in kinds):
        return "bad_duration", text
    if any(isinstance(kind, inspect.CustomType) for kind in kinds):
        return "bad_number", text
    found = _TYPE.match(text)
    if found:
        wanted = [_TYPE_NAMES.get(name, name) for name in found[1].split(" | ") if name != "null"]
        words = literals(path)
        also = f" ({', '.join(words)})" if words else ""
        return "bad_value", (
            f"this must be {' or '.join(wanted)}{also}, not {_TYPE_NAMES.get(found[2], found[2])}"
        )
    if text.startswith("Invalid enum value"):
        return "bad_value", f"{value!r} is not one of {', '.join(literals(path))}"
    for pattern, words_for in ((_LEAST, "or more"), (_MOST, "or less")):
        found = pattern.match(text)
        if found:
            return "bad_value", f"{value} is out of range: it must be {found[1]} {words_for}"
    found = _LENGTH.match(text)
    if found:
        unit = "characters" if found[1] == "str" else "elements"
        word = "at least" if found[2] == ">=" else "at most"
        return "bad_value", f"this must have {word} {found[3]} {unit}"
    found = _REGEX.match(text)
    if found:
        return "bad_value", f"{value!r} is not allowed here: it must match {found[1]}"
    return "bad_value", text
