"""What a campaign says: a line for each round as it goes, a table at the end, one JSON object."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from statistics import median

from tests.faults.schedule import KINDS

TOGETHER = "two at once"


@dataclass(frozen=True, slots=True)
class Struck:
    """One round. Seconds from the first fault: `away` until a service that was killed answered
    again (0: none was), `recovered` until everything sent before the fault and right after it had
    its outcome, `folded` until the read models had it too."""

    number: int
    kinds: tuple[str, ...]
    records: int
    away: float
    recovered: float
    folded: float

    @property
    def row(self) -> str:
        """Its row of the table."""
        return self.kinds[0] if len(self.kinds) == 1 else TOGETHER


@dataclass(slots=True)
class Result:
    """A whole campaign. `failure` None: all is as it should be."""

    seed: int
    command: str
    rounds: list[Struck] = field(default_factory=list)
    minutes: float = 0.0
    sent: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    effects: int = 0
    effects_duplicate: int = 0
    commands_told: int = 0
    commands_told_twice: int = 0
    events: int = 0
    members: int = 0
    frozen: int = 0
    frozen_inside_append: int = 0
    gave_up: list[str] = field(default_factory=list)
    failure: str | None = None
    folder: str | None = None

    @property
    def faults(self) -> int:
        """Faults, also those that came two at once."""
        return sum(len(each.kinds) for each in self.rounds)


def line(struck: Struck) -> str:
    """One round, when it is over."""
    return (
        f"{struck.number:>4}  {' + '.join(struck.kinds):<36} {struck.records:>6,} records"
        f"  recovered in {struck.recovered:5.1f} s, read models in {struck.folded:5.1f} s"
    )


def table(result: Result) -> str:
    """The faults by kind, in Markdown."""
    rows: dict[str, list[Struck]] = defaultdict(list)
    for struck in result.rounds:
        rows[struck.row].append(struck)
    head = (
        "| fault | times | s until services are back | s to recover: median | longest |"
        " longest, read models |"
    )
    lines = [
        head,
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind in (*KINDS, TOGETHER):
        if kind in rows:
            recovered = [each.recovered for each in rows[kind]]
            folded = max(each.folded for each in rows[kind])
            away = [each.away for each in rows[kind] if each.away]
            lines.append(
                f"| {kind} | {len(recovered)} | {f'{median(away):.1f}' if away else ''} |"
                f" {median(recovered):.1f} | {max(recovered):.1f} | {folded:.1f} |"
            )
    return "\n".join(lines)


def summary(result: Result) -> str:
    """The last lines of a run."""
    sent = ", ".join(f"{n:,} {topic}" for topic, n in sorted(result.sent.items()))
    outcomes = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(result.outcomes.items()))
    rounds = f"{len(result.rounds)} rounds, {result.minutes:.1f} minutes, seed {result.seed}"
    lines = [
        "",
        table(result),
        "",
        f"faults: {result.faults} in {rounds}",
        f"records sent: {sent}",
        f"they ended: {outcomes}",
        f"effects: {result.effects:,} applied, {result.effects_duplicate:,} published twice",
        f"commands told of: {result.commands_told:,}, {result.commands_told_twice:,} sent twice",
        f"workers frozen: {result.frozen}, inside an append: {result.frozen_inside_append}",
        f"processes that gave up while a service was away: {len(result.gave_up)}",
        f"log: {result.events:,} events",
        f"members compared with the reference: {result.members:,}",
    ]
    if result.failure is None:
        return "\n".join([*lines, "all as it should be"])
    kept = f"The data is kept in {result.folder}, its services are stopped: `points up` starts them"
    return "\n".join([*lines, "", f"FAILED with seed {result.seed}: {result.failure}", kept])


def as_json(result: Result) -> str:
    """One object."""
    return json.dumps({**asdict(result), "faults": result.faults})
