"""`memory`: whether the worker's memory depends on how much it was given.

One worker handles purchases by a million members with a cache that is full after a twentieth of
them. What it had needed at most (VmHWM) after a tenth of the input is compared with what it had
needed after all of it.
"""

from benchmarks import runs
from benchmarks.report import Figure, Result
from benchmarks.sets import TWO_LINE, fill
from benchmarks.stage import Stage

CACHE_ACCOUNTS = 10_000
"""A fifteenth of the members who come; the setting's least is a thousand."""

CACHE_ACCOUNTS_LEAST = 1_000


def measure(stage: Stage) -> list[Result]:
    """MiB after N purchases, and after ten times as many."""
    produced = fill(stage, TWO_LINE)
    accounts = stage.sized(CACHE_ACCOUNTS, CACHE_ACCOUNTS_LEAST)
    stage.progress(f"  {TWO_LINE}: one worker with {accounts:,} accounts in memory")
    run = runs.pipeline(stage, produced, 1, {"cache_accounts": accounts})
    stage.drop(run.database)
    early, late = run.memory
    figures = (
        Figure("after a tenth", "MiB", (float(early),)),
        Figure("after all", "MiB", (float(late),), "after a tenth"),
    )
    sizes: dict[str, float] = {"purchases": produced.purchases, "accounts in memory": accounts}
    return [Result("memory", sizes, figures, {"memory_ratio": late / early})]
