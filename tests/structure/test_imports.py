"""What import-linter's contracts rest on, and what the pure core may not even name."""

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "ledger"
CORE = LEDGER / "core"

IMPURE = {
    *("asyncio", "os", "pathlib", "random", "secrets", "signal", "socket", "subprocess", "sys"),
    *("tempfile", "threading", "time", "uuid", "psycopg", "aiokafka", "aiohttp", "structlog"),
    "logging",
}
"""Clocks, chance, files, networks, processes: what would make a decision depend on more than the
state and the input."""

CLOCKS = {"now", "utcnow", "today"}
"""How datetime tells the time."""


def contracts() -> dict[str, dict[str, Any]]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {each["name"]: each for each in document["tool"]["importlinter"]["contracts"]}


@pytest.mark.parametrize(
    "name", ["the pure core imports schemas only", "projections import schemas and the pure core"]
)
def test_every_module_of_the_ledger_but_the_core_is_forbidden(name: str) -> None:
    found = {path.stem for path in LEDGER.iterdir() if path.suffix == ".py" or path.is_dir()}
    modules = {f"ledger.{each}" for each in found - {"core"} if not each.startswith("_")}
    listed = contracts()[name]["forbidden_modules"]
    assert {each for each in listed if each.startswith("ledger.")} == modules


def impure(source: str) -> set[str]:
    """What a module imports or calls that the core must not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & IMPURE
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module).partition(".")[0]} & IMPURE
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CLOCKS
        ):
            found.add(ast.unparse(node.func))
    return found


def test_the_core_has_no_clock_no_chance_and_no_input_or_output() -> None:
    files = sorted(CORE.rglob("*.py"))
    assert len(files) > 40
    broken = {path.name: found for path in files if (found := impure(path.read_text("utf-8")))}
    assert broken == {}


def test_what_is_impure_is_found() -> None:
    source = "import os.path\nfrom time import monotonic\ndatetime.now(UTC)\nimport operator"
    assert impure(source) == {"os", "time", "datetime.now"}
