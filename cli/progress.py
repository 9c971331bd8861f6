"""Progress of long work on standard error: a bar for the whole, or one for each of its steps.

Standard output stays free for what a program reads.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Show = Callable[[int, int], None]
"""Told how much is done, of how much; of 0 while that is not known."""

StepShow = Callable[[str, int, int], None]
"""The same, of a step."""


@contextmanager
def bar_shown(what: str, *, transient: bool = False) -> Iterator[Show]:
    """A bar with the time that is left. `transient`: it is gone when the work is done."""
    with _progress(transient=transient) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield show


@contextmanager
def progress_shown(what: str) -> Iterator[StepShow]:
    """A bar for each step, as soon as it is told of."""
    with _progress() as bar:
        steps: dict[str, TaskID] = {}

        def told(step: str, done: int, total: int) -> None:
            if step not in steps:
                steps[step] = bar.add_task(f"{what}: {step}")
            bar.update(steps[step], completed=done, total=total or None)

        yield told


def _progress(*, transient: bool = False) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=transient,
    )
