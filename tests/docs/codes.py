"""The codes that the software can give, read from its source: each is a text where it is used."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ledger.core.program.timeline import NoProgram
from ledger.received import INTERNAL_ERROR

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "ledger"

_NAMES = {"NoProgram.code": NoProgram.code, "INTERNAL_ERROR": INTERNAL_ERROR}
"""Codes that are given by a name. One that comes from another exception is found there."""

_PASSED_ON = re.compile(r"^(reason|refusal|problem|error|decision)\.code$|^code$")


def refusals() -> set[str]:
    """The codes of business refusals, as patterns: `referrer_.*` stands for more than one."""
    return set(_first_arguments((LEDGER / "core").glob("*.py"), "Refused"))


def undecidable() -> set[str]:
    """The codes of dead letters that come from deciding, not from decoding."""
    files = [*LEDGER.glob("*.py"), *(LEDGER / "core").rglob("*.py")]
    made_here = [path for path in files if "program" not in path.relative_to(ROOT).parts]
    return {*_first_arguments(files, "Undecidable"), *_first_arguments(made_here, "Problem")}


def _first_arguments(files: Iterator[Path] | list[Path], called: str) -> Iterator[str]:
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == called and node.args:
                yield from _code(node.args[0], path)


def _code(argument: ast.expr, path: Path) -> Iterator[str]:
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value
    elif isinstance(argument, ast.JoinedStr):
        yield "".join(
            part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else ".*"
            for part in argument.values
        )
    else:
        text = ast.unparse(argument)
        if text in _NAMES:
            yield _NAMES[text]
        else:
            assert _PASSED_ON.match(text), f"{path.name}: what code does {text} stand for?"
