"""What the checks of a program share: where things stand, what the file names, what was found.

Names are read from the file as written, also from parts that are misfits elsewhere, so that one
mistake is not told again as a reference to nothing.
"""

from collections.abc import Iterable, Sequence

from ledger.core.program.document import Node
from ledger.core.program.problems import Problem


class Names:
    """The ids that a file gives, and what its multipliers refer to. Read before anything is
    taken out of the tree."""

    def __init__(self, root: Node) -> None:
        self.rule_nodes = _elements(root.child("earn"))
        self.rules = [_text(node, "id") for node in self.rule_nodes]
        self.levels = {_text(n, "id") for n in _elements(root.near("tiers").child("levels"))}
        self.segments = {_text(node, "id") for node in _elements(root.child("segments"))}
        self.budgets = {_text(node, "id") for node in _elements(root.child("budgets"))}
        self.multiplies = {
            rule: _text(node, "award", "multiplier", "of")
            for node, rule in zip(self.rule_nodes, self.rules, strict=True)
            if rule is not None
        }


def _elements(node: Node | None) -> list[Node]:
    return list(node.value) if node is not None and isinstance(node.value, list) else []


def _text(node: Node, *path: str) -> str | None:
    here: Node | None = node
    for key in path:
        here = None if here is None else here.child(key)
    return here.value if here is not None and isinstance(here.value, str) else None


class Judge:
    """Collects the problems of one file; a path is that of the form, keys and list places."""

    def __init__(self, root: Node, names: Names, damaged: set[Node]) -> None:
        self.names = names
        self.problems: list[Problem] = []
        self._root = root
        self._damaged = damaged

    def node(self, *path: str | int) -> Node:
        """The node at the path, or the nearest above it that is in the file."""
        return self._root.near(*path)

    def say(self, code: str, message: str, *path: str | int) -> None:
        """One problem, unless its place misses something that was told already."""
        node = self.node(*path)
        if node not in self._damaged:
            self.problems.append(Problem(node.line, node.path, code, message))

    def exactly_one(
        self, code: str, what: str, given: Iterable[tuple[str, object]], *path: str | int
    ) -> bool:
        """Whether exactly one of the named values is given; a problem if not."""
        options = list(given)
        there = [name for name, value in options if value is not None]
        if len(there) != 1:
            names = " | ".join(name for name, _ in options)
            has = "has none" if not there else f"has {' and '.join(there)}"
            self.say(code, f"{what} is exactly one of {names}; this {has}", *path)
        return len(there) == 1

    def unique(self, ids: Sequence[str], section: str) -> None:
        """A problem for each id of the section that is taken by an earlier part of it."""
        first: dict[str, int] = {}
        for i, each in enumerate(ids):
            if each in first:
                line = self.node(section, first[each]).line
                self.say(
                    "duplicate_id",
                    f"the id {each} is taken; it is first in line {line}",
                    *(section, i, "id"),
                )
            first.setdefault(each, i)
