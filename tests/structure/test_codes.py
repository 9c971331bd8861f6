"""The codes that an exception's docstring lists are those that it is raised with."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ledger.errors import WorkerStopped
from projections import errors as projection_errors

ROOT = Path(__file__).parents[2]


def texts(expression: ast.expr) -> Iterator[str]:
    """What an expression can be; of `a if … else b`, both."""
    if isinstance(expression, ast.IfExp):
        yield from texts(expression.body)
        yield from texts(expression.orelse)
    else:
        assert isinstance(expression, ast.Constant), ast.unparse(expression)
        yield str(expression.value)


def raised(name: str, place: int, *folders: str) -> set[str]:
    """The codes that calls of the exception `name` in these folders carry as argument `place`."""
    found: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
                    found |= set(texts(node.args[place]))
    return found


def test_a_stopped_worker() -> None:
    said = str(WorkerStopped.__doc__).partition("Codes:")[2]
    codes = raised("WorkerStopped", 1, "streams", "ledger", "cli")
    assert set(re.findall(r"[a-z_]+", said)) == codes


def test_a_damaged_log() -> None:
    (line,) = (line for line in str(projection_errors.__doc__).splitlines() if "LogDamaged" in line)
    said = line.partition("LogDamaged")[2].partition(":")[0]
    assert set(re.findall(r"[a-z_]+", said)) == raised("LogDamaged", 0, "projections")
