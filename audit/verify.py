"""`points audit verify`: is the log what was appended, and is all that follows from it right?

All of it is compared at one moment, in one snapshot, shard by shard in parallel. Nothing is
changed or repaired. See docs/audit.md.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from psycopg import Connection

from audit import kept
from audit.models_check import strangers
from audit.plan import Plan, plan_of, shards_asked
from audit.report import Report, report_of
from audit.session import connect, export_snapshot, one_moment
from audit.shard_check import ShardState
from audit.workers import check_all
from ledger.identity import check_session

JOBS = 2
"""Processes by default: most machines have two cores to spare for an audit."""

KEEP_SECONDS = 2.0
"""Between two writings of the file to resume from: at most so much is done twice."""

Show = Callable[[int, int], None]
"""Is told of the events done and of all there are."""

Extra = Callable[[Connection, Plan, dict[int, ShardState]], Sequence[str]]
"""Checks of the whole, once the shards are done; adds findings to the states, and tells in a
sentence each what was compared."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


def verify(
    database_url: str,
    *,
    shards: Sequence[int] = (),
    jobs: int = JOBS,
    read_models: bool = True,
    resume: Path | None = None,
    show: Show | None = None,
    stopping: Callable[[], bool] = never,
    extra: Extra | None = None,
) -> Report:
    """Verify some shards, or all. `resume`: a file that says how far an earlier call came, and is
    kept up to date. `stopping` is asked after each step, and ends the audit early.

    Raises StartRefused, AuditRefused (no_such_shard, other_audit, worker_lost),
    psycopg.OperationalError.
    """
    began_at, began = datetime.now(UTC), time.monotonic()
    with connect(database_url) as connection:
        check_session(connection)
        with one_moment(connection):
            snapshot = export_snapshot(connection)
            plan = plan_of(connection, database_url, snapshot, with_read_models=read_models)
            states = {shard: ShardState(shard) for shard in shards_asked(plan, list(shards))}
            if resume is not None:
                states.update(kept.load(resume, plan, states))
            _check(plan, states, jobs, resume, show, stopping)
            ended = all(state.done for state in states.values())
            if ended and read_models and not shards:
                for finding in strangers(connection, plan):
                    states[finding.shard].findings.append(finding)
            told = extra(connection, plan, states) if extra is not None and ended else ()
            if resume is not None:
                kept.store(resume, plan, states.values())
    return report_of(
        plan,
        list(states.values()),
        began_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        time.monotonic() - began,
        told,
    )


def _check(
    plan: Plan,
    states: dict[int, ShardState],
    jobs: int,
    resume: Path | None,
    show: Show | None,
    stopping: Callable[[], bool],
) -> None:
    for state in states.values():
        state.work = 0
    total = sum(_left(plan, state) for state in states.values())
    stored = time.monotonic()
    # The longest first, so that at the end no process waits for one that began late.
    order = sorted(
        [state for state in states.values() if not state.done],
        key=lambda state: _left(plan, state),
        reverse=True,
    )
    for state in check_all(plan, order, jobs, stopping):
        states[state.shard] = state
        if show is not None:
            show(sum(each.work for each in states.values()), total)
        if resume is not None and time.monotonic() - stored > KEEP_SECONDS:
            kept.store(resume, plan, states.values())
            stored = time.monotonic()


def _left(plan: Plan, state: ShardState) -> int:
    if state.done:
        return 0
    return max(0, plan.work_of(state.shard) - state.position)
