"""Which tests run which lines, and how long each takes: one run of every test, in a fork.

In a fork, so that the caches of the process from which all later forks come stay cold.
"""

import hashlib
import os
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path

import coverage
import pytest

from tests.mutation.running import fork, run
from tests.mutation.targets import ROOT

KEPT = ROOT / ".mutation"
"""Where results are kept; not under version control."""


@dataclass(slots=True)
class Traces:
    """`seconds`: of each test that passed. `tests`: file → line → the tests that run it.
    `failed`: tests that fail without any mutant, which are not asked."""

    seconds: dict[str, float] = field(default_factory=dict)
    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def reaching(self, file: str, lines: range) -> set[str]:
        """The tests that run any of these lines."""
        by_line = self.tests.get(file, {})
        return {test for line in lines for test in by_line.get(line, ()) if test in self.seconds}


def traces(items: list[pytest.Item], files: list[str]) -> Traces:
    """Trace the tests, or read what a run over the very same code has kept."""
    kept = KEPT / f"traces-{_version(items, files)}.pickle"
    if not kept.exists():
        KEPT.mkdir(exist_ok=True)
        for old in KEPT.glob("traces-*.pickle"):
            old.unlink()
        _, status = os.waitpid(fork(lambda _: _trace(items, files, kept)).pid, 0)
        if status:
            raise RuntimeError("the tests could not be traced: their process ended early")
    traced = pickle.loads(kept.read_bytes())
    assert isinstance(traced, Traces)
    return traced


def _trace(items: list[pytest.Item], files: list[str], kept: Path) -> int:
    traced = Traces()
    cover = coverage.Coverage(
        data_file=None, config_file=False, include=[str(ROOT / file) for file in files]
    )
    cover.start()
    for item, following in zip(items, [*items[1:], None], strict=True):
        cover.switch_context(item.nodeid)
        start = time.perf_counter()
        if run(item, following) is None:
            traced.seconds[item.nodeid] = time.perf_counter() - start
        else:
            traced.failed.append(item.nodeid)
    cover.stop()
    data = cover.get_data()
    for file in files:
        traced.tests[file] = data.contexts_by_lineno(str(ROOT / file))
    kept.with_suffix(".part").write_bytes(pickle.dumps(traced))
    kept.with_suffix(".part").rename(kept)
    return 0


def _version(items: list[pytest.Item], files: list[str]) -> str:
    version = hashlib.sha256(repr([item.nodeid for item in items]).encode())
    for path in sorted({*(str(item.path) for item in items), *(str(ROOT / f) for f in files)}):
        version.update(Path(path).read_bytes())
    return version.hexdigest()[:16]
