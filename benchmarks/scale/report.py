"""What a run found: as one JSON object, and as the tables of docs/performance.md."""

from typing import Any

from benchmarks.report import machine, number
from benchmarks.scale.state import Size, State
from benchmarks.scale.watch import Took


def as_json(state: State) -> dict[str, Any]:
    """All of it as plain values: seconds, microseconds per event, MiB, milliseconds."""
    return {
        "machine": machine(),
        "events": state.sizes[-1].events if state.sizes else 0,
        "members": state.members,
        "seconds": round(state.seconds, 1),
        "sizes": [_size(size) for size in state.sizes],
        "growth": growth(state),
    }


def _size(size: Size) -> dict[str, Any]:
    return {
        "events": size.events,
        "members": size.members,
        "bytes_per_event": round(size.bytes / max(size.events, 1)),
        "as_of_ms": None
        if size.as_of_ms is None
        else {"median": round(size.as_of_ms[0], 2), "max": round(size.as_of_ms[1], 2)},
        "steps": {name: _took(took) for name, took in size.took.items()},
    }


def _took(took: Took) -> dict[str, Any]:
    return {
        "events": took.events,
        "wall_seconds": round(took.wall, 1),
        "wall_us_per_event": round(took.micros(took.wall), 2),
        "cpu_us_per_event": round(took.micros(took.cpu), 2),
        "postgres_us_per_event": round(took.micros(took.postgres_cpu), 2),
        "peak_mib": took.peak_mib,
        "postgres_peak_mib": took.postgres_mib,
    }


def growth(state: State) -> dict[str, dict[str, list[float]]]:
    """Of each step that was measured at more than one size: `cpu`, that of ours and PostgreSQL's
    for an event over what it was at the smallest size, and `peak`, our memory likewise. 1 and less
    is linear or better."""
    found: dict[str, dict[str, list[float]]] = {}
    for name in _names(state):
        took = [size.took[name] for size in state.sizes if name in size.took]
        if len(took) > 1:
            cpu = [one.micros(one.cpu + one.postgres_cpu) for one in took]
            peak = [float(one.peak_mib) for one in took]
            found[name] = {"cpu": _over(cpu), "peak": _over(peak)}
    return found


def _names(state: State) -> list[str]:
    """The steps that were measured, in their order."""
    return list(dict.fromkeys(name for size in state.sizes for name in size.took))


def _over(values: list[float]) -> list[float]:
    return [round(value / max(values[0], 1e-9), 3) for value in values]


def text(state: State) -> str:
    """As the tables of the documentation."""
    lines = [
        "| step | log | over | wall, s | µs/event | CPU | PostgreSQL | peak MiB | session MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in _names(state):
        some = [size for size in state.sizes if name in size.took]
        lines += [_row(name, size, size.took[name]) for size in some]
    lines += ["", "| log | members | as of, median ms | slowest of 100, ms | bytes/event |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for size in state.sizes:
        middle, slowest = size.as_of_ms or (0.0, 0.0)
        each = round(size.bytes / max(size.events, 1))
        lines.append(
            f"| {size.events:,} | {size.members:,} | {middle:.1f} | {slowest:.1f} | {each:,} |"
        )
    minutes, seconds = divmod(round(state.seconds), 60)
    lines += ["", f"All of it: {minutes} min {seconds} s."]
    return "\n".join(lines)


def _row(name: str, size: Size, took: Took) -> str:
    micros = [number(took.micros(value)) for value in (took.wall, took.cpu, took.postgres_cpu)]
    return (
        f"| {name} | {size.events:,} | {took.events:,} | {took.wall:,.0f}"
        f" | {' | '.join(micros)} | {took.peak_mib} | {took.postgres_mib} |"
    )
