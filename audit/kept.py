"""The file from which an audit goes on: how far each shard is verified, with the hash there.

It is trusted: who can change it can leave out a part of the next audit. Keep it where the auditor
alone can write, or leave it away for an audit of everything.
"""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from audit.errors import AuditRefused
from audit.plan import Plan
from audit.shard_check import ShardState

FORMAT = 1
"""Of the file: one of another format is not read."""


class Kept(Struct):
    """The file's content."""

    format: int
    ledger_id: str
    read_models: bool
    ended: bool
    shards: list[ShardState]


def load(path: Path, plan: Plan, shards: Collection[int]) -> dict[int, ShardState]:
    """The states of these shards, as far as the file has them; none if there is no file.

    After an audit that was stopped, its finished shards stay finished. After one that ended, the
    next goes on from the ends that were verified, and compares anew all read models and the dedupe
    rows of no shard. A shard with findings begins anew in both. Raises AuditRefused (other_audit).
    """
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise _other(path, "is not what an audit writes") from error
    if kept.format != FORMAT:
        raise _other(path, "is of another version of this software")
    if kept.ledger_id != plan.ledger_id:
        raise _other(path, f"is of the ledger {kept.ledger_id}, not of {plan.ledger_id}")
    found = {}
    for state in kept.shards:
        if state.shard not in shards or state.findings:
            continue
        if kept.ended or kept.read_models != plan.read_models:
            state.models_done, state.models_after, state.requests_after = [], None, ""
            state.done = False
            state.not_compared = []
        state.events = state.inputs = state.folded = 0
        found[state.shard] = state
    return found


def store(path: Path, plan: Plan, states: Iterable[ShardState]) -> None:
    """Write the file anew, whole or not at all. Raises OSError."""
    shards = list(states)
    ended = all(state.done for state in shards)
    content = Kept(FORMAT, plan.ledger_id, plan.read_models, ended, shards)
    beside = path.with_name(path.name + ".new")
    with open(beside, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _other(path: Path, reason: str) -> AuditRefused:
    return AuditRefused(
        f"{path} {reason}: name another file, or delete it to begin anew.", "other_audit"
    )
