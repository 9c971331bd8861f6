"""Trying mutants: which tests are asked, several forks at a time, and what became of each.

Now and then a control runs: the same tests without a mutant. One that fails would mean that kills
may be chance.
"""

import os
import select
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType

import pytest

from tests.mutation.functions import Key, NotLoaded, put
from tests.mutation.mutants import Mutant
from tests.mutation.running import (
    BROKEN,
    KILLED,
    NO_MUTANT,
    SURVIVED,
    Fork,
    end,
    first_failure,
    fork,
)
from tests.mutation.tracing import Traces

CONTROL_EVERY = 40
"""Mutants per control."""

WALL_SECONDS = 600.0
"""A fork that waits for a lock for ever uses no CPU time."""

END_SECONDS = 60.0
"""From what a fork tells to its end."""

OUT_OF_TIME = (signal.SIGXCPU, signal.SIGKILL)

OUTCOMES = {KILLED: "killed", SURVIVED: "survived", NO_MUTANT: "no mutant", BROKEN: "broken"}
"""Exit code → outcome. A fork that a signal ended was out of time, or crashed: that is noticed."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant; `asked` of the `reaching` tests were asked. `by`: the test that
    noticed, or what went wrong. `control`: there was no mutant."""

    mutant: Mutant
    outcome: str
    by: str
    asked: int
    reaching: int
    control: bool = False


@dataclass(slots=True)
class Trials:
    """Everything that trying a mutant takes. `seconds`: CPU time of the tests asked."""

    items: dict[str, pytest.Item]
    traces: Traces
    functions: dict[Key, list[FunctionType]]
    seconds: float
    kills: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def asked(self, mutant: Mutant) -> tuple[list[pytest.Item], int]:
        """The quickest tests within `seconds`, first those that killed others of its file; and
        how many reach its lines."""
        seconds = self.traces.seconds
        reaching = self.traces.reaching(mutant.file, mutant.lines)
        chosen: list[str] = []
        spent = 0.0
        for test in sorted(reaching, key=lambda test: (seconds[test], test)):
            spent += seconds[test]
            if chosen and spent > self.seconds:
                break
            chosen.append(test)
        kills = self.kills[mutant.file]
        chosen.sort(key=lambda test: (-kills[test], seconds[test], test))
        return [self.items[test] for test in chosen], len(reaching)

    def run(self, mutants: list[Mutant], jobs: int) -> Iterator[Result]:
        """Try them, `jobs` at a time; results in the order of their ends."""
        waiting = [(mutant, False) for mutant in mutants]
        waiting += [(mutant, True) for mutant in mutants[::CONTROL_EVERY]]
        under_way: dict[int, tuple[Fork, float, Result]] = {}
        try:
            yield from self._run(waiting, under_way, jobs)
        finally:
            for child, _, _ in under_way.values():
                end(child)

    def _run(
        self,
        waiting: list[tuple[Mutant, bool]],
        under_way: dict[int, tuple[Fork, float, Result]],
        jobs: int,
    ) -> Iterator[Result]:
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                mutant, control = waiting.pop(0)
                chosen, reaching = self.asked(mutant)
                if not chosen:
                    yield Result(mutant, "survived", "no test runs it", 0, 0, control)
                    continue
                child = fork(partial(self._try, mutant, control, chosen))
                result = Result(mutant, "", "", len(chosen), reaching, control)
                under_way[child.told] = child, time.monotonic() + WALL_SECONDS, result
            ready, _, _ = select.select(list(under_way), [], [], 1.0)
            for told, (child, until, result) in list(under_way.items()):
                late = until < time.monotonic()
                if late or told in ready:
                    del under_way[told]
                    ended = _ended(child, result, late)
                    if ended.outcome == "killed":
                        self.kills[ended.mutant.file][ended.by.rpartition(" (")[0]] += 1
                    yield ended

    def _try(self, mutant: Mutant, control: bool, items: list[pytest.Item], told: int) -> int:
        if not control:
            try:
                put(self.functions, mutant.file, mutant.function, mutant.code())
            except (SyntaxError, ValueError, NotLoaded) as error:
                os.write(told, repr(error).encode())
                return NO_MUTANT
        failed = first_failure(items, self.traces.seconds)
        if failed is None:
            return SURVIVED
        os.write(told, failed.encode())
        return KILLED


def _ended(child: Fork, result: Result, late: bool) -> Result:
    """Its pipe is at its end, or (`late`) its time is up."""
    by = b""
    while not late and select.select([child.told], [], [], END_SECONDS)[0]:
        part = os.read(child.told, 4096)
        if not part:
            break
        by += part
    os.close(child.told)
    end(child)
    _, status = os.waitpid(child.pid, 0)
    if os.WIFEXITED(status):
        outcome = OUTCOMES.get(os.WEXITSTATUS(status), "broken")
    else:
        outcome = "time-out" if os.WTERMSIG(status) in OUT_OF_TIME else "killed"
    return Result(
        result.mutant, outcome, by.decode(), result.asked, result.reaching, result.control
    )
