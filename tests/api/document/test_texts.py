"""The document says of every text that it holds no NUL, which the database would not take."""

import re
from collections.abc import Iterator
from typing import Any

from api.app import create_app
from ledger.settings import load_settings

WITH_NUL = ("\0", "a\0b", "1\0", "A\0" * 8)


def patterns(part: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """All patterns, and where they are."""
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield path, part["pattern"]
        for name, inner in part.items():
            yield from patterns(inner, f"{path}.{name}")
    elif isinstance(part, list):
        for inner in part:
            yield from patterns(inner, path)


def test_no_pattern_lets_a_nul_pass() -> None:
    found = list(patterns(create_app(load_settings({})).openapi()))
    assert len(found) > 100
    passing = [
        path for path, pattern in found if any(re.search(pattern, text) for text in WITH_NUL)
    ]
    assert passing == []
