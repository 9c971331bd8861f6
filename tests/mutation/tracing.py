"""Which tests run which lines, and the CPU time of each: one run of every test, in forks.

In forks, so that the caches of the process from which all later forks come stay cold.
"""

import hashlib
import os
import pickle
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import coverage
import pytest

from tests.mutation.running import fork, run
from tests.mutation.targets import ROOT

KEPT = ROOT / ".mutation"
"""Where results are kept; not under version control."""


@dataclass(slots=True)
class Traces:
    """`seconds`: CPU time of each test that passed. `tests`: file → line → the tests that run it.
    `failed`: tests that fail without any mutant, which are not asked."""

    seconds: dict[str, float] = field(default_factory=dict)
    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Traces") -> None:
        """Take over what other tests run."""
        self.seconds |= other.seconds
        self.failed += other.failed
        for file, by_line in other.tests.items():
            mine = self.tests.setdefault(file, {})
            for line, tests in by_line.items():
                mine[line] = [*mine.get(line, ()), *tests]

    def reaching(self, file: str, lines: range) -> set[str]:
        """The tests that run any of these lines."""
        by_line = self.tests.get(file, {})
        return {test for line in lines for test in by_line.get(line, ()) if test in self.seconds}


def traces(items: list[pytest.Item], files: list[str], jobs: int) -> Traces:
    """Trace the tests, `jobs` modules at a time, or read what a run over the same code has kept."""
    kept = KEPT / f"traces-{_version(items, files)}.pickle"
    if not kept.exists():
        KEPT.mkdir(exist_ok=True)
        for old in KEPT.glob("traces-*"):
            old.unlink()
        parts = _in_parts(items, jobs)
        places = [kept.with_suffix(f".part{number}") for number in range(len(parts))]
        forks = [
            fork(partial(_trace, part, files, place))
            for part, place in zip(parts, places, strict=True)
        ]
        for child in forks:
            if os.waitpid(child.pid, 0)[1]:
                raise RuntimeError("the tests could not be traced: their process ended early")
        traced = Traces()
        for place in places:
            traced.add(pickle.loads(place.read_bytes()))
            place.unlink()
        kept.write_bytes(pickle.dumps(traced))
    found = pickle.loads(kept.read_bytes())
    assert isinstance(found, Traces)
    return found


def _in_parts(items: list[pytest.Item], jobs: int) -> list[list[pytest.Item]]:
    """The tests in at most `jobs` parts; a module's tests stay together, they share fixtures."""
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(str(item.path), []).append(item)
    parts: list[list[pytest.Item]] = [[] for _ in range(jobs)]
    for tests in sorted(modules.values(), key=len, reverse=True):
        min(parts, key=len).extend(tests)
    return [part for part in parts if part]


def _trace(items: list[pytest.Item], files: list[str], kept: Path, _told: int) -> int:
    traced = Traces()
    cover = coverage.Coverage(
        data_file=None, config_file=False, include=[str(ROOT / file) for file in files]
    )
    cover.start()
    for item, following in zip(items, [*items[1:], None], strict=True):
        cover.switch_context(item.nodeid)
        start = time.process_time()
        if run(item, following) is None:
            traced.seconds[item.nodeid] = time.process_time() - start
        else:
            traced.failed.append(item.nodeid)
    cover.stop()
    data = cover.get_data()
    for file in files:
        traced.tests[file] = data.contexts_by_lineno(str(ROOT / file))
    kept.write_bytes(pickle.dumps(traced))
    return 0


def _version(items: list[pytest.Item], files: list[str]) -> str:
    version = hashlib.sha256(repr([item.nodeid for item in items]).encode())
    for path in sorted({*(str(item.path) for item in items), *(str(ROOT / f) for f in files)}):
        version.update(Path(path).read_bytes())
    return version.hexdigest()[:16]
