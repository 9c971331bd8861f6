"""A pytest plugin that writes down which refusals the tests provoke (see `test_refusals`)."""

import json
import os
from pathlib import Path

import pytest

from ledger.core.context import Refused

FILE = "REFUSALS_FILE"
"""The variable that names the file to write: the codes, as a JSON list."""

_seen: set[str] = set()
_made = Refused.__init__


def _noted(self: Refused, code: str, message: str) -> None:
    _seen.add(code)
    _made(self, code, message)


def pytest_configure() -> None:
    """From now on every refusal is noted."""
    Refused.__init__ = _noted  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what was seen."""
    assert session.testscollected
    Path(os.environ[FILE]).write_text(json.dumps(sorted(_seen)), encoding="utf-8")
