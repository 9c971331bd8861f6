"""What a whole run comes to: the targets and what was seen, for a person, a program or a document.

Ratios are of one run, on one machine. Where both sets of messages give a ratio, the summary quotes
the worse of the two; each result has its own.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from benchmarks.report import Figure, Result, number


class Target(Struct, frozen=True):
    """What `key` is to reach. `least`: more is better; else it may be at most `bound`."""

    key: str
    text: str
    bound: float
    least: bool = True
    unit: str = ""

    def reached(self, value: float) -> bool:
        """Whether `value` is good enough."""
        return value >= self.bound if self.least else value <= self.bound

    @property
    def asked(self) -> str:
        """The bound as a person writes it."""
        return f"{'≥' if self.least else '≤'} {number(self.bound)}{self.unit}"


TARGETS = (
    Target("pipeline_to_floor_1", "pipeline to floor, one worker process", 0.35),
    Target("pipeline_to_floor_2", "pipeline to floor, two worker processes", 0.5),
    Target("to_stock", "pipeline to stock", 25),
    Target("projections_to_pipeline", "projections to pipeline", 1),
    Target("latency_p99_ms", "produce to readable balance, p99", 250, least=False, unit=" ms"),
    Target("memory_ratio", "memory after ten times the input", 1.1, least=False),
)
"""In the order in which they are shown. Memory: "flat" is a tenth more at most."""

PEAK = Target("peak_mb", "peak memory of a worker process", 0, least=False, unit=" MiB")


def keys_of(results: Sequence[Result]) -> dict[str, float]:
    """The worse of the sets for each key."""
    found: dict[str, float] = {}
    for result in results:
        for target in (*TARGETS, PEAK):
            value = result.keys.get(target.key)
            if value is not None:
                worse = min if target.least else max
                found[target.key] = worse(value, found.get(target.key, value))
    return {key: round(value, 4) for key, value in found.items()}


def text(results: Sequence[Result]) -> str:
    """The targets as lines for a person; empty when nothing of them was measured."""
    keys = keys_of(results)
    lines = []
    for target in TARGETS:
        if target.key in keys:
            value = keys[target.key]
            said = "reached" if target.reached(value) else "not reached"
            seen = f"{number(value)}{target.unit}"
            lines.append(f"  {target.text:<40} {target.asked:>9}  {seen:>8}  {said}")
    if PEAK.key in keys:
        lines.append(f"  {PEAK.text:<40} {'':>9}  {number(keys[PEAK.key])} MiB")
    return "\n".join(["targets", *lines]) if lines else ""


def as_json(report: dict[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """One object: the keys of the summary first."""
    return {**keys_of(results), **report}


def markdown(machine: dict[str, Any], results: Sequence[Result]) -> str:
    """The tables of docs/performance.md."""
    keys = keys_of(results)
    said = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines = [f"Seen on: {said}.", "", "| target | asked | seen | |", "| --- | --- | --- | --- |"]
    for target in TARGETS:
        value = keys.get(target.key)
        if value is not None:
            reached = "reached" if target.reached(value) else "**not reached**"
            seen = f"{number(value)}{target.unit}"
            lines.append(f"| {target.text} | {target.asked} | {seen} | {reached} |")
    if PEAK.key in keys:
        lines.append(f"| {PEAK.text} | | {number(keys[PEAK.key])} MiB | |")
    for result in results:
        lines += ["", *_table(result)]
    return "\n".join(lines)


def _table(result: Result) -> list[str]:
    sizes = ", ".join(f"{name} {number(size)}" for name, size in result.sizes.items())
    lines = [f"**{result.name}** ({sizes})", "", "| | median | runs | ratio |"]
    lines.append("| --- | --- | --- | --- |")
    lines += [_row(result, figure) for figure in result.figures]
    return lines + [line for note in result.notes for line in ("", note)]


def _row(result: Result, figure: Figure) -> str:
    runs = ""
    if len(figure.runs) > 1:
        runs = f"{number(min(figure.runs))} to {number(max(figure.runs))}"
    ratio = result.ratio(figure)
    against = "" if ratio is None else f"{number(ratio)} × {figure.floor}"
    return f"| {figure.name} | {number(figure.median)} {figure.unit} | {runs} | {against} |"
