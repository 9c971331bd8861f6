"""What an audit says in the end: for programs as JSON, for people as lines or as a page.

`ok` is about what was looked at. What could not be compared is named, never left out silently.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from audit.findings import Finding
from audit.plan import Plan
from audit.shard_check import ShardState


class ShardReport(Struct):
    """One shard. `position`, `hash`: of the last event verified; `since`: where this audit went on
    (0: from the first event). `ended`: whether all of it was looked at."""

    shard: int
    ended: bool
    since: int
    position: int
    hash: str
    head: int
    events: int
    inputs: int
    folded: int
    findings: list[Finding]
    not_compared: list[str]


class Report(Struct):
    """One audit. Points in `postings` are signed sums by account of the double entry, over the
    shards looked at from their first event on."""

    ledger_id: str
    program_id: str
    began_at: str
    seconds: float
    shards: list[ShardReport]
    postings: dict[str, int]
    checkpoints: list[str]
    ended: bool
    ok: bool

    @property
    def findings(self) -> list[Finding]:
        """Everything that is wrong, shard by shard."""
        return [finding for shard in self.shards for finding in shard.findings]


def report_of(
    plan: Plan,
    states: Sequence[ShardState],
    began_at: str,
    seconds: float,
    checkpoints: Sequence[str] = (),
) -> Report:
    """The report of what the states say."""
    totals: Counter[str] = Counter()
    shards = []
    for state in sorted(states, key=lambda each: each.shard):
        totals.update(state.totals)
        head = plan.heads.get(state.shard)
        shards.append(
            ShardReport(
                state.shard,
                state.done,
                state.since,
                state.position,
                state.hash,
                0 if head is None else head.position,
                state.events,
                state.inputs,
                state.folded,
                state.findings,
                state.not_compared,
            )
        )
    ended = all(state.done for state in states)
    return Report(
        plan.ledger_id,
        plan.program_id,
        began_at,
        round(seconds, 3),
        shards,
        dict(sorted(totals.items())),
        list(checkpoints),
        ended,
        ended and not any(shard.findings for shard in shards),
    )
