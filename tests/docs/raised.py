"""The errors that a person can meet, read from the source: exception class → codes it is given.

A code is the second argument of a `LedgerError`, the first of the others; an exception made
without one has its class's code. A code that is passed on is found where it came from.
"""

import ast
from collections.abc import Iterator

from tests.docs.codes import ROOT

FOLDERS = ("ledger", "streams", "projections", "audit", "analytics", "api", "cli", "deploy", "demo")

_CODE_FIRST = ("ProjectionError", "LogDamaged", "EmbeddedServicesError")

_BASE = "LedgerError"


def codes_by_class() -> dict[str, set[str]]:
    """What each class is raised with."""
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "core" not in path.relative_to(ROOT).parts  # that becomes a dead letter or a bug
    ]
    own_codes = {name: code for tree in trees for name, code in _classes(tree)}
    found: dict[str, set[str]] = {}
    for tree in trees:
        for name, code in _given(tree, own_codes):
            found.setdefault(name, set()).add(code)
    return found


def _classes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each class of an error with the code that it declares."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or not node.bases:
            continue
        for line in node.body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code":
                assert isinstance(line.value, ast.Constant), f"{node.name}: write its code out"
                yield node.name, str(line.value.value)


def _given(tree: ast.AST, own_codes: dict[str, str]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(
            ast.unparse(b) in _CODE_FIRST for b in node.bases
        ):
            yield from _passed_up(node)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in _CODE_FIRST:
            yield from ((name, code) for code in _texts(node.args[0]))
        elif name in own_codes or name == _BASE:
            # A class that makes its own message takes other arguments, and never a code.
            if len(node.args) == 2:
                yield from ((name, code) for code in _texts(node.args[1]))
            else:
                yield name, own_codes[name]


def _passed_up(made: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The code that a class of its own gives to its base's constructor."""
    for node in ast.walk(made):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            yield from ((made.name, code) for code in _texts(node.args[0]))


def _texts(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.Constant):
        yield str(argument.value)
    elif isinstance(argument, ast.IfExp):
        yield from _texts(argument.body)
        yield from _texts(argument.orelse)
    else:
        assert ast.unparse(argument) in ("code", "error.code"), ast.unparse(argument)
