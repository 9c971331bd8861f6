"""Does the log still hold what checkpoints say? Finds a tail that was cut off with all that told of
it, and a backup that was restored: both are whole in themselves.
"""

from collections.abc import Sequence
from pathlib import Path

from psycopg import Connection

from audit.checkpoint import Checkpoint
from audit.errors import AuditRefused
from audit.findings import Finding
from audit.plan import Plan
from audit.restores import NotHeld, declared, declared_for, not_held
from audit.shard_check import ShardState
from schemas.decisions import RestoreDeclared

RESTORED = (
    "Compare with the backups and the restores that you know of. What lay after the positions that"
    " the log still has was decided and then lost: what others were told of it (balances, effects,"
    " outcomes) is no longer in the ledger. A restore is declared by `points audit"
    " declare-restore`. If nobody restored anything, the log was changed together with all that"
    " follows from it: keep this database as evidence."
)


def check_held(
    connection: Connection,
    plan: Plan,
    states: dict[int, ShardState],
    checkpoints: Sequence[tuple[Path, Checkpoint]],
) -> list[str]:
    """Compare the heads of every checkpoint with the log; of each shard the first that it does not
    hold becomes a finding, unless a restore was declared. What was compared, in sentences. Raises
    AuditRefused (other_ledger)."""
    restores = declared(connection)
    found: dict[int, Finding] = {}
    explained: dict[str, RestoreDeclared] = {}
    compared = 0
    for path, checkpoint in checkpoints:
        content = checkpoint.content
        if content.ledger_id != plan.ledger_id:
            raise AuditRefused(
                f"{path} is of the ledger {content.ledger_id}, the database holds"
                f" {plan.ledger_id}: name the right database, or the right checkpoint.",
                "other_ledger",
            )
        heads = [head for head in content.shards if head.shard in states]
        compared += len(heads)
        restored = declared_for(restores, checkpoints, content)
        for each in not_held(connection, heads):
            if restored is not None:
                explained[restored.checkpoint] = restored
            elif each.head.shard not in found:
                told = f"checkpoint {content.number} of {content.at}"
                found[each.head.shard] = _finding(each, told)
    for finding in found.values():
        states[finding.shard].findings.append(finding)
    first, last = checkpoints[0][1].content.number, checkpoints[-1][1].content.number
    told = f"{compared} heads of {len(checkpoints)} checkpoints ({first} to {last})"
    return [f"{told} compared with the log.", *map(_told, explained.values())]


def _finding(each: NotHeld, checkpoint: str) -> Finding:
    code = "checkpoint_ahead"
    what = f"{checkpoint} had this position, the log ends at {each.end}"
    what += ": its end was cut off, or an older backup restored"
    if each.stored is not None:
        code = "checkpoint_differs"
        what = f"{checkpoint} had {each.head.hash} here, the log has {each.stored.hex()}"
        what += ": it is another log from some position on"
    return Finding(code, each.head.shard, what, RESTORED, each.head.position)


def _told(restored: RestoreDeclared) -> str:
    events = sum(max(0, had - has) for _, has, had in restored.lost)
    return (
        f"{restored.actor} declared that a backup from before checkpoint {restored.number} was"
        f" restored ({restored.reason}); {len(restored.lost)} shards were then {events} events"
        " shorter. Heads up to that checkpoint need not be held."
    )
