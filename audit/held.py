"""Does the log still hold what checkpoints say? Finds a tail that was cut off with all that told of
it, and a backup that was restored: both are whole in themselves.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from psycopg import Connection

from audit.checkpoint import Checkpoint
from audit.errors import AuditRefused
from audit.findings import Finding
from audit.plan import Plan
from audit.shard_check import ShardState

RESTORED = (
    "Compare with the backups and the restores that you know of. Positions after those that the"
    " log still has were decided and then lost: what others were told of them (balances, effects,"
    " outcomes) is no longer in the ledger. If nobody restored anything, the log was changed"
    " together with all that follows from it: keep this database as evidence."
)

_THERE = """
SELECT asked.n, e.hash FROM unnest(%s::integer[], %s::bigint[]) WITH ORDINALITY
    AS asked (shard, position, n)
LEFT JOIN ledger.events e ON e.shard = asked.shard AND e.position = asked.position
"""


def check_held(
    connection: Connection,
    plan: Plan,
    states: dict[int, ShardState],
    checkpoints: Sequence[tuple[Path, Checkpoint]],
) -> list[str]:
    """Compare the heads of every checkpoint with the log; the first that it does not hold becomes
    a finding of its shard. What was compared, in a sentence. Raises AuditRefused (other_ledger)."""
    found: dict[int, Finding] = {}
    compared = 0
    for path, checkpoint in checkpoints:
        content = checkpoint.content
        if content.ledger_id != plan.ledger_id:
            raise AuditRefused(
                f"{path} is of the ledger {content.ledger_id}, the database holds"
                f" {plan.ledger_id}: name the right database, or the right checkpoint.",
                "other_ledger",
            )
        heads = [
            head
            for head in content.shards
            if head.position and head.shard in states and head.shard not in found
        ]
        compared += len(heads)
        rows = connection.execute(
            _THERE, ([head.shard for head in heads], [head.position for head in heads])
        ).fetchall()
        for number, stored in rows:
            head = heads[number - 1]
            told = f"checkpoint {content.number} of {content.at} had"
            if stored is None:
                wrong = "checkpoint_ahead"
                what = f"{told} this position, the log ends at {_end(plan, head.shard)}"
                what += ": its end was cut off, or an older backup restored"
            elif bytes(stored).hex() != head.hash:
                wrong = "checkpoint_differs"
                what = f"{told} {head.hash} here, the log has {bytes(stored).hex()}"
                what += ": it is another log from some position on"
            else:
                continue
            found[head.shard] = Finding(wrong, head.shard, what, RESTORED, head.position)
    for finding in found.values():
        states[finding.shard].findings.append(finding)
    return [_told(checkpoints, compared)]


def _end(plan: Plan, shard: int) -> int:
    head = plan.heads.get(shard)
    return 0 if head is None else head.position


def _told(checkpoints: Iterable[tuple[Path, Checkpoint]], compared: int) -> str:
    numbers = [checkpoint.content.number for _, checkpoint in checkpoints]
    return (
        f"{compared} heads of {len(numbers)} checkpoints ({numbers[0]} to {numbers[-1]}) compared"
        " with the log."
    )
