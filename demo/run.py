"""The demo from beginning to end: load a year of a real grocer, then prove every balance.

Services, worker and projections are the real ones, each a process of its own; this process only
produces, watches and checks. Running it again on the same data sends the same events again, and the
ledger must answer `duplicate` to each. Interrupted anywhere, a new start goes on where it stopped.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import psycopg

from demo import checks, grocer
from demo.children import Child
from ledger.application import Ledger
from ledger.core.calendar import from_instant
from ledger.errors import LedgerError
from ledger.settings import Settings
from projections.errors import ProjectionError
from projections.rfm import compute_bounds
from schemas.fields import Instant
from streams.publish import produce
from streams.topics import EFFECTS

TOPICS = ("members", "referrals", "surveys", "purchases")
"""The topics that the outside world writes; `effects` are the ledger's own and counted apart."""

POLL_SECONDS = 0.5
"""Between two looks at the progress: often enough for a person, rare enough to cost nothing."""

STALL_SECONDS = 180
"""Without any progress for so long something is wrong: the longest healthy pause is a worker's
restart with a rebalance, some 20 s."""


class Screen(Protocol):
    """Where progress is shown."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def progress(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """How far a stage is."""

    def finish(self, stage: str) -> None:
        """The stage is done."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may ask of the demo."""

    program: Path
    at: Instant
    households: int | None = None


@dataclass(slots=True)
class Clock:
    """Seconds by stage, in order."""

    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.monotonic() - begun


@dataclass(slots=True)
class Load:
    """What the load did: counts of this run, and when its parts were finished."""

    purchases: int = 0
    published: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    records: int = 0
    all_outcomes: dict[str, int] = field(default_factory=dict)
    effects: int = 0
    effect_outcomes: dict[str, int] = field(default_factory=dict)
    produce_seconds: float = 0.0
    handled_seconds: float = 0.0
    folded_seconds: float = 0.0


def children(settings: Settings, environment: dict[str, str]) -> list[Child]:
    """Start the worker in history mode and the projections, logging into the data folder."""
    logs = settings.data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return [
        Child("worker", ("worker", "--history"), logs / "worker.log", environment),
        Child("projections", ("projections", "run"), logs / "projections.log", environment),
    ]


async def load(settings: Settings, options: Options, workers: list[Child], screen: Screen) -> Load:
    """Produce the grocer's year and wait until all of it is handled and folded.

    Raises LedgerError (child_ended, stalled, publish_failed).
    """
    assert settings.kafka_bootstrap is not None
    done = Load()
    connection = await psycopg.AsyncConnection.connect(
        settings.require_database_url(), autocommit=True
    )
    async with connection, checks.TopicEnds(settings.kafka_bootstrap) as ends:
        before = sum((await checks.outcomes_of(connection, TOPICS)).values())
        outcomes_before = await checks.outcomes_of(connection, TOPICS)
        begun = time.monotonic()
        chosen = grocer.choose(options.households)
        producing = asyncio.create_task(
            _produce(settings.kafka_bootstrap, chosen, screen, done, begun)
        )
        try:
            await _watch(connection, ends, producing, workers, screen, done)
        finally:
            producing.cancel()
            await asyncio.gather(producing, return_exceptions=True)
        done.handled_seconds = time.monotonic() - begun
        await _watch_folding(connection, workers, screen)
        done.folded_seconds = time.monotonic() - begun
        if await _record_bounds(settings, connection, options.at):
            await _watch_folding(connection, workers, screen)
        done.all_outcomes = await checks.outcomes_of(connection, TOPICS)
        done.outcomes = {
            outcome: n - outcomes_before[outcome] for outcome, n in done.all_outcomes.items()
        }
        # What an interrupted run before this one left on the topics is part of this run's work.
        done.published = done.records - before
        done.effects = await ends.records(EFFECTS)
        done.effect_outcomes = await checks.outcomes_of(connection, (EFFECTS,))
    return done


async def _produce(
    bootstrap: str, chosen: set[int] | None, screen: Screen, done: Load, begun: float
) -> None:
    def counted(messages: Iterable[grocer.Message]) -> Iterator[tuple[str, str, bytes]]:
        for message in messages:
            done.purchases += message.topic == "purchases"
            yield message.topic, message.key.decode(), message.value

    # Topic by topic, the small ones first, each acknowledged before the next begins: what lies in
    # a topic is merged by its time, what comes later would be late.
    for _, of_topic in groupby(grocer.messages(chosen), key=attrgetter("topic")):
        await produce(counted(of_topic), bootstrap)
    done.produce_seconds = time.monotonic() - begun
    screen.say(f"produced {done.purchases:,} purchases in {done.produce_seconds:.1f} s")


async def _watch(
    connection: psycopg.AsyncConnection[Any],
    ends: checks.TopicEnds,
    producing: "asyncio.Task[None]",
    workers: list[Child],
    screen: Screen,
    done: Load,
) -> None:
    """Until every record of the topics and every effect is handled."""
    watch = _Stall("the worker")
    begun: tuple[float, int] | None = None
    while True:
        finished = producing.done()
        if finished:
            producing.result()
        done.records = await ends.records(*TOPICS)
        sent_effects = await ends.records(EFFECTS)
        handled = sum((await checks.outcomes_of(connection, TOPICS)).values())
        effects = sum((await checks.outcomes_of(connection, (EFFECTS,))).values())
        now = time.monotonic()
        begun = begun or (now, handled)
        rate = (handled - begun[1]) / max(now - begun[0], POLL_SECONDS)
        behind = done.records - handled
        left = f", {behind / rate:,.0f} s left" if finished and rate else ""
        screen.progress(
            "ledger", handled, done.records, f"{rate:,.0f} records/s, {behind:,} behind{left}"
        )
        if finished and handled >= done.records and effects >= sent_effects:
            cursor = await connection.execute(
                "SELECT count(*) FROM ledger.events e WHERE effects > 0 AND position >"
                " coalesce((SELECT c.position FROM ledger.effects_cursors c"
                " WHERE c.shard = e.shard), 0)"
            )
            row = await cursor.fetchone()
            if row is not None and row[0] == 0:
                screen.finish("ledger")
                return
        watch.look((handled, effects, done.records), workers)
        await asyncio.sleep(POLL_SECONDS)


async def _watch_folding(
    connection: psycopg.AsyncConnection[Any], workers: list[Child], screen: Screen
) -> None:
    """Until every read model has folded the whole log."""
    watch = _Stall("the projections")
    while True:
        cursor = await connection.execute(
            # New bounds make the segments of a shard be computed anew: they are done when the shard
            # reflects the last event of the system shard.
            "SELECT coalesce(sum(p.position), 0)::bigint, coalesce(sum(h.position), 0)::bigint,"
            " count(*) FILTER (WHERE p.position < h.position OR p.refresh_target IS NOT NULL"
            "  OR (p.projection = 'segments' AND p.shard >= 0 AND p.position > 0 AND"
            "   p.system_position < (SELECT s.position FROM ledger.heads s WHERE s.shard = -1))),"
            " count(*) FROM read.positions p JOIN ledger.heads h USING (shard)"
        )
        row = await cursor.fetchone()
        assert row is not None
        folded, head, behind, rows = row
        screen.progress("read models", folded, head, f"{head - folded:,} events behind")
        if rows and not behind:
            screen.finish("read models")
            return
        watch.look((folded,), workers)
        await asyncio.sleep(POLL_SECONDS)


async def _record_bounds(
    settings: Settings, connection: psycopg.AsyncConnection[Any], at: Instant
) -> bool:
    """Record the RFM bounds as of `at`, unless the very same are recorded already."""
    with psycopg.connect(settings.require_database_url(), autocommit=True) as reading:
        try:
            bounds = compute_bounds(reading, at)
        except ProjectionError as error:
            if error.code != "no_purchases":
                raise
            return False  # nobody had bought by then: there are no quintiles to record
    cursor = await connection.execute(
        "SELECT 1 FROM read.rfm_bounds WHERE (as_of, members, recency_days, frequency, monetary)"
        " = (%s, %s, %s::bigint[], %s::bigint[], %s::bigint[])",
        (
            from_instant(at),
            bounds.members,
            list(bounds.recency_days),
            list(bounds.frequency),
            list(bounds.monetary),
        ),
    )
    if await cursor.fetchone() is not None:
        return False
    ledger = await Ledger.open(settings)
    try:
        await ledger.record_bounds(bounds)
    finally:
        await ledger.close()
    return True


class _Stall:
    """Raises when children died or nothing moves any more."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._seen: tuple[int, ...] = ()
        self._since = time.monotonic()

    def look(self, figures: tuple[int, ...], workers: list[Child]) -> None:
        for child in workers:
            child.check()
        now = time.monotonic()
        if figures != self._seen:
            self._seen, self._since = figures, now
        elif now - self._since > STALL_SECONDS:
            logs = ", ".join(str(child.log) for child in workers)
            raise LedgerError(
                f"{self._who} made no progress for {STALL_SECONDS} s: look into {logs}.", "stalled"
            )


def balances_at(connection: psycopg.Connection[Any], at: Instant) -> dict[str, dict[str, Any]]:
    """Every member's row of the read model at a moment."""
    cursor = connection.execute("SELECT * FROM read.balance_at(%s)", (from_instant(at),))
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    rows = (dict(zip(names, row, strict=True)) for row in cursor)
    return {row["member_id"]: row for row in rows}
