"""Mutants of a file: where each one is, what it changes, and the code of its function.

A mutant's name, `FILE:LINE:COLUMN:NUMBER`, stays the same as long as its file does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from types import CodeType
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from tests.mutation.operators import mutations, skipped
from tests.mutation.targets import ROOT

SHOWN_AROUND, SHOWN_AFTER = 40, 60
"""Characters before and after the start of a change."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake. `function`: the qualified name of the function of a module or class that holds
    it. `lines`: the changed expression with the start of its statement; a test that runs none of
    them cannot notice."""

    name: str
    file: str
    function: str
    operator: str
    lines: range
    module: Any
    original: Any
    mutated: Any

    @property
    def told(self) -> str:
        """The change, in a line."""
        return _told(_text(self.original), _text(self.mutated))

    def code(self) -> CodeType:
        """The function's code with the mistake in it. Raises SyntaxError when there is none."""
        source = self.module.deep_replace(self.original, self.mutated).code
        path = str(ROOT / self.file)
        return function_code(compile(source, path, "exec", dont_inherit=True), self.function)


def function_code(code: CodeType, name: str) -> CodeType:
    """The code of the function `name` (the last of that name) in the code of its module."""
    first, _, rest = name.partition(".")
    found = [c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == first]
    if not found:
        raise SyntaxError(f"the mutant has no function {name}")
    return function_code(found[-1], rest) if rest else found[-1]


def mutants(file: str) -> list[Mutant]:
    """All mutants of `file`, in the order of their places."""
    wrapper = MetadataWrapper(cst.parse_module((ROOT / file).read_text(encoding="utf-8")))
    places = wrapper.resolve(PositionProvider)
    made: list[Mutant] = []
    seen: dict[tuple[int, int], int] = {}
    for function, statement, operator, node, mutated in _walk(wrapper.module, "", 0, places):
        at = places.get(node) or places[statement]
        start, end = at.start, at.end
        number = seen[start.line, start.column] = seen.get((start.line, start.column), 0) + 1
        made.append(
            Mutant(
                f"{file}:{start.line}:{start.column}:{number}",
                file,
                function,
                operator,
                range(min(places[statement].start.line, start.line), end.line + 1),
                wrapper.module,
                node,
                mutated,
            )
        )
    return made


def _walk(
    node: Any, function: str, statement: Any, places: Any, inside: bool = False
) -> Iterator[tuple[str, Any, str, Any, Any]]:
    if skipped(node):
        return
    if isinstance(node, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
        statement = node
    if isinstance(node, (cst.FunctionDef, cst.ClassDef)) and not inside:
        function = f"{function}.{node.name.value}" if function else node.name.value
        inside = isinstance(node, cst.FunctionDef)
    elif inside:
        for operator, original, mutated in mutations(node):
            yield function, statement, operator, original, mutated
    for child in node.children:
        yield from _walk(child, function, statement, places, inside)


def _text(node: Any) -> str:
    lines = cst.Module([]).code_for_node(node).strip().splitlines()
    return " ".join(line.strip() for line in lines)


def _told(before: str, after: str) -> str:
    """Both texts, without what is equal around the change and too long to show."""
    same = (one == other for one, other in zip(before, after, strict=False))
    start = sum(takewhile(bool, same))
    cut = max(0, start - SHOWN_AROUND)
    dots = "…" if cut else ""
    return " → ".join(dots + text[cut : start + SHOWN_AFTER] for text in (before, after))
