"""What a measurement gives and how it is shown: medians of several runs, ratios, text or JSON.

A figure may name another of the same result as its floor: what cannot be avoided, or what was there
before. Its ratio is its median over the floor's.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from msgspec import Struct


class Figure(Struct, frozen=True):
    """One thing measured in several runs. `unit`: of each of `runs`; `floor`: another's name."""

    name: str
    unit: str
    runs: tuple[float, ...]
    floor: str | None = None

    @property
    def median(self) -> float:
        """The middle run."""
        return median(self.runs)


class Result(Struct, frozen=True):
    """One benchmark. `sizes`: what was measured on, by name; `keys`: what of it the summary
    quotes; `notes`: what a reader of the figures must know of this run."""

    name: str
    sizes: dict[str, float]
    figures: tuple[Figure, ...]
    keys: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    def ratio(self, figure: Figure) -> float | None:
        """The figure over its floor; None for one without a floor."""
        if figure.floor is None:
            return None
        return figure.median / next(f.median for f in self.figures if f.name == figure.floor)

    def json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "sizes": self.sizes,
            "keys": {key: round(value, 4) for key, value in self.keys.items()},
            "notes": list(self.notes),
            "figures": [
                {
                    "name": figure.name,
                    "unit": figure.unit,
                    "median": round(figure.median, 3),
                    "runs": [round(run, 3) for run in figure.runs],
                    "floor": figure.floor,
                    "ratio": None if (ratio := self.ratio(figure)) is None else round(ratio, 4),
                }
                for figure in self.figures
            ],
        }

    def text(self) -> str:
        """As lines for a person."""
        sizes = ", ".join(f"{name} {number(size)}" for name, size in self.sizes.items())
        lines = [self.name, f"  on {sizes}"]
        width = max(len(figure.name) for figure in self.figures)
        for figure in self.figures:
            ratio = self.ratio(figure)
            against = "" if ratio is None else f"{number(ratio)} × {figure.floor}"
            runs = ""
            if len(figure.runs) > 1:
                runs = f"{number(min(figure.runs))} to {number(max(figure.runs))}"
            lines.append(
                f"  {figure.name:<{width}}  {number(figure.median):>9} {figure.unit:<12}"
                f"  {runs:<20}  {against}".rstrip()
            )
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def machine() -> dict[str, Any]:
    """What the figures were taken on; `load`: how busy it was with other work, before."""
    return {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Yields a function that tells the seconds of the block: so far, or in all once it ended."""
    begun = time.perf_counter()
    ended: float | None = None
    yield lambda: (time.perf_counter() if ended is None else ended) - begun
    ended = time.perf_counter()


def number(value: float) -> str:
    """Three figures are more than a shared machine can tell."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"
