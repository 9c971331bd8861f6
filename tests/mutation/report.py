"""What a run prints: the score of each part with its interval, of each file and operator, and
every survivor with what it changed.

Killed: a test failed. A time-out counts as killed, since a hanging suite is noticed; it is told
apart. No mutant: the change made no valid code, or its function is made while tests run.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Iterator

from tests.mutation.sampling import interval
from tests.mutation.targets import part_of
from tests.mutation.tracing import KEPT
from tests.mutation.trials import Result

LAST = KEPT / "last.pickle"
"""The results of the last run."""

NOTICED = ("killed", "time-out")
COLUMNS = ("mutants", "tried", "killed", "time-out", "survived", "score")
COUNTED = (*NOTICED, "survived")


def report(results: list[Result], sizes: dict[str, int]) -> Iterator[str]:
    """The lines of the report; `sizes`: how many mutants each file has."""
    controls = [result for result in results if result.control]
    tried = [result for result in results if not result.control]
    yield from _table("file", tried, lambda result: result.mutant.file, sizes)
    yield from _table("operator", tried, lambda result: result.mutant.operator, {})
    yield from _table("part", tried, lambda result: part_of(result.mutant.file), {})
    quiet = sum(result.outcome == "survived" for result in controls)
    yield f"controls (no mutant): {quiet} of {len(controls)} passed"
    for result in controls:
        if result.outcome != "survived":
            yield f"  {result.mutant.name}: {result.outcome} {result.by}"
    for outcome in ("survived", "no mutant", "broken"):
        shown = [result for result in tried if result.outcome == outcome]
        yield f"{outcome}: {len(shown)}"
        for result in sorted(shown, key=lambda result: result.mutant.name):
            mutant = result.mutant
            yield f"  {mutant.name} {mutant.function} [{result.asked}/{result.reaching} tests]"
            yield f"      {mutant.told}{_why(result)}"


def keep(results: list[Result]) -> None:
    """Keep the results, for `--again`."""
    KEPT.mkdir(exist_ok=True)
    LAST.write_bytes(pickle.dumps(results))


def kept() -> list[Result]:
    """The results of the last run."""
    found = pickle.loads(LAST.read_bytes())
    assert isinstance(found, list)
    return found


def _table(
    head: str, tried: list[Result], key: Callable[[Result], str], sizes: dict[str, int]
) -> Iterator[str]:
    counts: dict[str, Counter[str]] = {}
    for result in tried:
        counts.setdefault(key(result), Counter())[result.outcome] += 1
    yield f"{head:<38}" + "".join(f"{column:>10}" for column in COLUMNS)
    for name in sorted(counts):
        count = counts[name]
        of = sum(count[outcome] for outcome in COUNTED)
        noticed = sum(count[outcome] for outcome in NOTICED)
        low, high = interval(noticed, of)
        score = f"{100 * noticed / of:8.1f} %" if of else "         –"
        if head == "part":
            score += f"  (95 %: {100 * low:.1f} to {100 * high:.1f} %)"
        yield (
            f"{name:<38}{sizes.get(name, ''):>10}{of:>10}{count['killed']:>10}"
            f"{count['time-out']:>10}{count['survived']:>10}{score}"
        )
    yield ""


def _why(result: Result) -> str:
    return f"   ({result.by})" if result.by else ""
