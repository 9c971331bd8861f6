"""Progress for a person: live bars on a terminal, a line now and then in a log file.

Everything goes to standard error, so that standard output holds the result alone.
"""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY_SECONDS = 10
"""Between two lines where there is no terminal: a CI log stays readable."""


class Terminal:
    """A `demo.run.Screen` on standard error."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        self._bars: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        if self._console.is_terminal:
            self._progress.start()

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, soft_wrap=True)

    def progress(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """How far a stage is."""
        if not self._console.is_terminal:
            now = time.monotonic()
            if now - self._said.setdefault(stage, now) >= LINE_EVERY_SECONDS:
                self._said[stage] = now
                self.say(f"{stage}: {done:,} of {total:,}, {detail}")
            return
        if stage not in self._bars:
            self._bars[stage] = self._progress.add_task(stage, total=max(total, 1), detail=detail)
        self._progress.update(self._bars[stage], completed=done, total=max(total, 1), detail=detail)

    def finish(self, stage: str) -> None:
        """The stage is done: its bar goes."""
        bar = self._bars.pop(stage, None)
        if bar is not None:
            self._progress.remove_task(bar)

    def close(self) -> None:
        """Give the terminal back."""
        self._progress.stop()
