"""Every refusal of the core has a test that provokes it.

The codes are read from the source; which of them the tests provoke is recorded while they run, in a
process of their own. Random histories do not count: what they meet differs from run to run.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.codes import refusals
from tests.structure import recorder

ROOT = Path(__file__).parents[2]
CORE = ROOT / "tests" / "core"

ASKS = re.compile(r"\brefus")
"""What a test file says that provokes refusals."""

TIMEOUT_SECONDS = 600
"""Ten times what a busy machine needs for those files."""


def files() -> list[str]:
    """The files of tests that provoke refusals, without random histories."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(CORE.glob("test_*.py"))}
    return [
        str(path) for path, text in texts.items() if ASKS.search(text) and "hypothesis" not in text
    ]


def test_each_code_is_provoked(tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    plugin = recorder.__name__
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", *files()],
        cwd=ROOT,
        env={**os.environ, recorder.FILE: str(seen)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:]
    provoked = json.loads(seen.read_text(encoding="utf-8"))
    codes = refusals()
    assert len(codes) > 20
    missing = {code for code in codes if not any(re.fullmatch(code, one) for one in provoked)}
    assert missing == set(), "write a test that provokes each of them"
