"""Everything that is checked of one shard, in steps between which it can be stopped and resumed.

The log and its dedupe rows side by side, then versions, then the read models, page by page. The
first wrong position is told and ends the reading of the log; what follows from a log that is not
whole is not compared any further.
"""

from collections import Counter
from collections.abc import Iterator
from typing import cast
from uuid import UUID

from msgspec import Struct, field
from psycopg import Connection

from audit.chain_check import broken
from audit.findings import RESTORE, RESTORE_HEAD, Finding, rebuild
from audit.inputs_check import TABLE as INPUTS
from audit.inputs_check import InputsCheck
from audit.log_check import LogCheck
from audit.models_check import ModelsCheck, Shown, check_system_rows, is_whole, system_at
from audit.plan import Plan
from audit.requests_check import check_requests
from audit.rows import rows, split
from audit.versions_check import check_versions
from ledger.chain import Head, Link, genesis
from ledger.errors import ChainBroken
from ledger.sharding import SYSTEM_SHARD
from projections.errors import LogDamaged
from projections.positions import Place
from projections.runner import read_models
from projections.system import System
from schemas.decisions import AccountEvent

STRETCH_EVENTS = 2_000
"""Events between two steps: a tenth of a second of work, which a stop waits for."""

DIFFERING_MAX = 10**9
"""Rows counted as differing in a table: a bound for the count only."""


class ShardState(Struct):
    """How far a shard is verified; what is needed to go on. `position`, `hash`, `recorded_at`: of
    the last event verified (`hash` as hex). `since`: from which position this run went on.
    `versions_to`: up to where the versions of accounts were checked.
    `models_done`: positions whose projections are compared; `models_after`: the last account of the
    comparison under way. `requests_after`: the last key of the dedupe rows of no shard, as hex.
    `events`, `inputs`, `folded`: rows looked at; `work`: of the plan's."""

    shard: int
    position: int = 0
    hash: str = ""
    recorded_at: int | None = None
    since: int = 0
    versions_to: int = 0
    requests_after: str = ""
    totals: dict[str, int] = field(default_factory=dict)
    events: int = 0
    inputs: int = 0
    folded: int = 0
    work: int = 0
    models_done: list[int] = field(default_factory=list)
    models_after: str | None = None
    findings: list[Finding] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    done: bool = False


def check_shard(connection: Connection, plan: Plan, state: ShardState) -> Iterator[None]:
    """Bring `state` forward until it is done; between two yields it can be kept and resumed.

    `connection` is within a transaction of the plan's moment.
    """
    yield from _check_log(connection, plan, state)
    if not _has(state, "ledger.events") and state.versions_to != state.position:
        _note(state, check_versions(connection, state.shard))
        state.versions_to = state.position
        yield
    if plan.read_models:
        if _has(state, "ledger.events"):
            state.not_compared.append("read models: the log that they follow from is damaged")
        else:
            yield from _check_models(connection, plan, state)
    state.done = True
    yield


def _check_log(connection: Connection, plan: Plan, state: ShardState) -> Iterator[None]:
    shard, head = state.shard, plan.heads.get(state.shard)
    if head is None:
        state.findings.append(
            Finding(
                "head_missing", shard, "the shard has no head row", RESTORE_HEAD, 0, "ledger.heads"
            )
        )
        return
    link = _link(connection, plan, state)
    if link is None:
        return
    log = LogCheck(plan.program_id, plan.ledger_id, plan.shards, Counter(state.totals))
    inputs = None
    if shard != SYSTEM_SHARD:
        inputs = InputsCheck(connection, shard, plan.shards, link.position)
    last = _end_of(connection, shard)
    while link.position < last:
        before = link.position
        whole = _stretch(connection, state, link, log, inputs)
        state.work += link.position - before
        if not whole:
            if inputs is not None:
                inputs.close()
            return
        state.position, state.hash = link.position, link.hash.hex()
        state.recorded_at = link.recorded_at
        state.totals = dict(log.totals)
        if inputs is not None:
            state.inputs += inputs.taken()
        yield
    if inputs is None:
        yield from _check_requests(connection, state)
    else:
        wrong = inputs.after_end(link.position)
        inputs.close()
        if wrong is not None and not _has(state, INPUTS):
            state.findings.append(wrong)
    _check_head(state, link, head.position, head.hash)


def _check_requests(connection: Connection, state: ShardState) -> Iterator[None]:
    """The dedupe rows of no shard, in the order of their keys."""
    for seen, last, wrong in check_requests(connection, bytes.fromhex(state.requests_after)):
        state.inputs += seen
        state.requests_after = last.hex()
        _note(state, wrong)
        yield


def _link(connection: Connection, plan: Plan, state: ShardState) -> Link | None:
    """The chain from where the shard is verified; None if that is no longer what it was."""
    shard = state.shard
    state.since = state.position
    if not state.position:
        return Link(shard, Head(0, genesis(UUID(plan.ledger_id), shard)))
    row = connection.execute(
        "SELECT hash FROM ledger.events WHERE shard = %s AND position = %s",
        (shard, state.position),
    ).fetchone()
    if row is None or bytes(row[0]).hex() != state.hash:
        found = "is no longer there" if row is None else "has another hash now"
        state.findings.append(
            Finding(
                "verified_changed",
                shard,
                f"this row was verified before, and {found}: verify without --resume to learn from"
                " where on the log differs",
                RESTORE,
                state.position,
            )
        )
        return None
    link = Link(shard, Head(state.position, bytes.fromhex(state.hash)))
    link.recorded_at = state.recorded_at
    return link


def _stretch(
    connection: Connection,
    state: ShardState,
    link: Link,
    log: LogCheck,
    inputs: InputsCheck | None,
) -> bool:
    """Look at the next events; whether the log is whole so far. What is wrong first ends up in the
    findings: of the log, and of the dedupe rows."""
    shard, to = state.shard, link.position + STRETCH_EVENTS
    if inputs is not None:
        inputs.fetch(to)
    wrong: Finding | None = None
    before = link.position
    broken_at: tuple[bytes, ChainBroken] | None = None
    for row in rows(connection, shard, before, to):
        if wrong is not None or broken_at is not None:
            continue  # a COPY is read to its end
        try:
            link.follow(row)
        except ChainBroken as error:
            broken_at = (row, error)
            continue
        fields = split(row)
        event, wrong = log.check(fields)
        if wrong is None and inputs is not None and not _has(state, INPUTS):
            _note(state, inputs.check(fields, cast(AccountEvent, event)))
    state.events += link.position - before
    if broken_at is not None:
        wrong = broken(connection, link, *broken_at)
    elif wrong is None and link.position == before:
        told = "this row is missing, and with it all that follow up to the next stretch"
        wrong = Finding("row_missing", shard, told, RESTORE, before + 1)
    _note(state, wrong)
    if wrong is None and inputs is not None and not _has(state, INPUTS):
        _note(state, inputs.settle())
    return wrong is None


def _note(state: ShardState, wrong: Finding | None) -> None:
    if wrong is not None:
        state.findings.append(wrong)


def _has(state: ShardState, table: str) -> bool:
    return any(finding.table == table for finding in state.findings)


def _check_head(state: ShardState, link: Link, position: int, last: bytes) -> None:
    if position > link.position:
        state.findings.append(
            Finding(
                "log_ends_early",
                state.shard,
                f"the log ends at position {link.position}, but its head says {position}: its end"
                " is missing",
                RESTORE,
                link.position + 1,
            )
        )
    elif position < link.position:
        state.findings.append(
            Finding(
                "log_goes_on",
                state.shard,
                f"the head says that the log ends at {position}, but it goes on to"
                f" {link.position}: rows were added by hand, or the head was set back",
                RESTORE_HEAD,
                position + 1,
            )
        )
    elif last != link.hash:
        state.findings.append(
            Finding(
                "head_changed",
                state.shard,
                f"the head has the hash {last.hex()}, the last event {link.hash.hex()}",
                RESTORE_HEAD,
                position,
                "ledger.heads",
            )
        )


def _end_of(connection: Connection, shard: int) -> int:
    row = connection.execute(
        "SELECT coalesce(max(position), 0) FROM ledger.events WHERE shard = %s", (shard,)
    ).fetchone()
    assert row is not None
    return int(row[0])


def _check_models(connection: Connection, plan: Plan, state: ShardState) -> Iterator[None]:
    models = {model.name: model for model in read_models()}
    by_position: dict[int, list[Place]] = {}
    for place in plan.places_of(state.shard):
        if place.position > state.position:
            state.findings.append(
                Finding(
                    "read_position_beyond",
                    state.shard,
                    f"the projection {place.projection} has folded up to {place.position}, but the"
                    f" log ends at {state.position}: its end was cut off, or the position changed",
                    rebuild(place.projection),
                    place.position,
                    "read.positions",
                )
            )
        if state.shard == SYSTEM_SHARD:
            state.findings.extend(
                check_system_rows(connection, models[place.projection], place.position)
            )
        elif is_whole(place):
            by_position.setdefault(place.position, []).append(place)
        else:
            state.not_compared.append(
                f"{place.projection}: its rows are being computed anew; verify again when"
                " `points projections status` says that it is up to date"
            )
    systems: dict[int, System] = {}
    for position, places in sorted(by_position.items()):
        if position in state.models_done:
            continue
        shown = []
        for place in places:
            system = systems.get(place.system_position)
            if system is None:
                system = system_at(connection, place.system_position)
                systems[place.system_position] = system
            shown.append(Shown(models[place.projection], position, system))
        check = ModelsCheck(connection, plan.program_id, state.shard, shown)
        try:
            yield from _pages(check, state)
            _merge(state, check.strays())
        except LogDamaged as error:
            state.findings.append(
                Finding("log_inconsistent", error.shard, error.message, RESTORE, error.position)
            )
        state.models_done.append(position)
        state.models_after = None
        yield


def _pages(check: ModelsCheck, state: ShardState) -> Iterator[None]:
    after = None if state.models_after is None else UUID(state.models_after)
    while True:
        before = check.events
        after, found = check.page(after)
        state.folded += check.events - before
        state.work += check.events - before
        _merge(state, found)
        if after is None:
            return
        state.models_after = str(after)
        yield


def _merge(state: ShardState, found: list[Finding]) -> None:
    """Of each table the first difference is told, the others are counted."""
    for finding in found:
        for known in state.findings:
            if known.table == finding.table and known.code.startswith("read_row"):
                known.count = min(DIFFERING_MAX, known.count + finding.count)
                break
        else:
            state.findings.append(finding)
