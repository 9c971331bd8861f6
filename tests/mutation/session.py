"""The pytest plugin: collection as usual, and then mutants instead of one run of the tests.

Hypothesis gets a profile that draws the same examples each time and does not shrink: how small a
failure can be made is of no interest here.
"""

import sys
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.functions import loaded
from tests.mutation.mutants import Mutant
from tests.mutation.targets import EXAMPLES_MAX
from tests.mutation.tracing import traces
from tests.mutation.trials import Result, Trials

SETTINGS = "_hypothesis_internal_use_settings"

TELL_EVERY = 50
"""Mutants between two lines of progress."""


@dataclass(slots=True)
class MutationSession:
    """Tries `mutants` when pytest would run the tests."""

    mutants: list[Mutant]
    jobs: int
    seconds: float
    results: list[Result] = field(default_factory=list)

    def pytest_configure(self) -> None:
        settings.register_profile(
            "mutation",
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Fewer examples of each property; Hypothesis has no public way to say so from outside."""
        for item in items:
            test = getattr(item, "obj", None)
            own: settings | None = getattr(test, SETTINGS, None)
            if own is not None and own.max_examples > EXAMPLES_MAX:
                setattr(test, SETTINGS, settings(own, max_examples=EXAMPLES_MAX))

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        files = sorted({mutant.file for mutant in self.mutants})
        items = {item.nodeid: item for item in session.items}
        functions = loaded(files)
        traced = traces(list(items.values()), files, self.jobs)
        told = f"{len(traced.seconds)} tests in {sum(traced.seconds.values()):.0f} s"
        tell(f"{told}; {len(self.mutants)} mutants to try")
        for failed in traced.failed:
            tell(f"not asked, since it fails without a mutant: {failed}")
        trials = Trials(items, traced, functions, self.seconds)
        try:
            self._try(trials)
        except KeyboardInterrupt:
            tell("interrupted: what was tried until now is a fair sample all the same")
        return True

    def _try(self, trials: Trials) -> None:
        start = time.monotonic()
        for result in trials.run(self.mutants, self.jobs):
            self.results.append(result)
            if result.outcome == "survived" and not result.control:
                tell(f"survived: {result.mutant.name} {result.mutant.told}")
            if len(self.results) % TELL_EVERY == 0:
                survived = sum(r.outcome == "survived" and not r.control for r in self.results)
                seconds = time.monotonic() - start
                tell(f"{len(self.results)} tried in {seconds:.0f} s, {survived} survived")


def tell(line: str) -> None:
    """Progress, beside the report."""
    sys.__stderr__.write(line + "\n") if sys.__stderr__ else None
