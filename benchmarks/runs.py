"""One run of a consumer over a set: start its processes, watch until all is committed, measure.

The rate is what was committed between two commits: the first one after every process had its
partitions, and the last. So starting, joining the group and rebalancing are not in it; what was
committed before counts neither as work nor as time.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import count

import psycopg
from msgspec import Struct

from benchmarks.processes import ServerCpu, cpu_seconds, peak_mib
from benchmarks.ready import PARTITIONS, until_ready
from benchmarks.sets import Offsets, Produced, end_offsets, template
from benchmarks.stage import Stage
from demo.children import Child
from ledger.errors import LedgerError
from streams.topics import EFFECTS

LOOK_SECONDS = 0.2
"""Between two looks at how far a run is: a query of some milliseconds."""

WARM_PERCENT = 10
"""Of the purchases: committed before the measurement begins."""

GROUP = "benchmarks"

NO_SETTINGS: Mapping[str, object] = {}

_numbers = count(1)

_HANDLED = "SELECT coalesce(sum(n), 0)::bigint FROM ledger.outcome_counts WHERE source <> 'effects'"
_COMMITS = (
    "SELECT extract(epoch FROM recorded_at)::float8, count(*) FROM ledger.events"
    " WHERE type LIKE '%PurchaseRewarded%' GROUP BY 1 ORDER BY 1"
)
_SEED = (
    'INSERT INTO ledger.stream_positions ("group", topic, partition, next_offset)'
    " SELECT %s, * FROM unnest(%s::text[], %s::int[], %s::bigint[])"
)
_AUTOVACUUM = (
    "SELECT round(sum(total_autovacuum_time + total_autoanalyze_time) * 1000)::bigint"
    " FROM pg_stat_all_tables"
)
"""Microseconds. The counters of a database that is a copy begin at nothing."""

Commits = Sequence[tuple[float, int]]
"""Moments (seconds since 1970) and how many purchases each committed, in order."""


class Run(Struct, frozen=True):
    """What a run showed. `rate`: purchases per second; sizes in bytes and CPU in microseconds are
    per purchase, CPU without the start. `peaks`: MiB of each process; `memory`: MiB of all of them
    after a tenth of the records, and at the end. `autovacuum`: what its workers took of this
    database at most, their pauses included; what of it is CPU is in PostgreSQL's."""

    database: str
    purchases: int
    events: int
    seconds: float
    rate: float
    peaks: tuple[int, ...]
    memory: tuple[int, int]
    wal_bytes: float
    disk_bytes: float
    worker_cpu: float
    postgres_cpu: float
    kafka_cpu: float
    autovacuum: float


def rate_of(commits: Commits, since: float) -> tuple[float, float]:
    """Purchases per second, and the seconds over which that is: from the first commit that is not
    before `since`, nor within the first tenth, to the last."""
    total = sum(n for _, n in commits)
    if commits and since >= commits[-1][0]:
        since = 0.0  # a small --scale: all was over before it was known that it had begun
    seen = 0
    for index, (at, n) in enumerate(commits):
        seen += n
        if at >= since and seen * 100 >= total * WARM_PERCENT:
            rest = commits[index + 1 :]
            seconds = commits[-1][0] - at
            if not rest or seconds <= 0:
                break
            return sum(n for _, n in rest) / seconds, seconds
    raise LedgerError("The run was over before it could be measured: raise --scale.", "too_short")


def pipeline(
    stage: Stage,
    produced: Produced,
    workers: int,
    settings: Mapping[str, object] = NO_SETTINGS,
    module: str = "cli.main",
    arguments: Sequence[str] = ("worker", "--history"),
) -> Run:
    """Handle the set with so many workers in a database of its own, which stays. The workers have
    ended when it returns."""
    starts = starts_of(stage, produced)
    database = f"{produced.name}_{next(_numbers)}"
    url = stage.database(database, template(produced.name))
    stage.checkpoint()
    server = ServerCpu(stage.services)
    environment = environment_of(stage, database, settings)
    children: list[Child] = []
    with psycopg.connect(url, autocommit=True) as connection:
        seed(connection, starts)
        wal, disk = _written(connection)
        try:
            for number in range(workers):
                name = f"worker-{produced.name}-{number + 1}"
                children.append(stage.child(name, list(arguments), environment, module))
            ready = until_ready(children, int(str(settings.get("partitions", PARTITIONS))))
            before = (_cpu_of(children), *server.seconds())
            memory = _until_handled(stage, connection, produced, children)
            peaks = tuple(peak_mib(child.pid) for child in children)
            after = (_cpu_of(children), *server.seconds())
        finally:
            for child in children:
                child.stop()
        commits = connection.execute(_COMMITS).fetchall()
        rewarded = sum(n for _, n in commits)
        if rewarded != produced.purchases:
            raise LedgerError(
                f"{rewarded:,} of {produced.purchases:,} purchases were applied.", "not_applied"
            )
        rate, seconds = rate_of(commits, ready)
        wal_after, disk_after = _written(connection)
        autovacuum = _one(connection, _AUTOVACUUM)
        events = _one(connection, "SELECT sum(position)::bigint FROM ledger.heads WHERE shard >= 0")
    n = produced.purchases
    since_ready = sum(count for at, count in commits if at >= ready) or n
    worker_cpu, postgres_cpu, kafka_cpu = (
        (end - start) / since_ready * 1e6 for start, end in zip(before, after, strict=True)
    )
    return Run(
        database=database,
        purchases=n,
        events=events,
        seconds=seconds,
        rate=rate,
        peaks=peaks,
        memory=memory,
        wal_bytes=(wal_after - wal) / n,
        disk_bytes=(disk_after - disk) / n,
        worker_cpu=worker_cpu,
        postgres_cpu=postgres_cpu,
        kafka_cpu=kafka_cpu,
        autovacuum=autovacuum / n,
    )


def starts_of(stage: Stage, produced: Produced) -> Offsets:
    """Where a consumer of the set begins now: behind the effects of runs before."""
    ends = asyncio.run(end_offsets(stage.bootstrap))
    # Consumers read on: what lay behind the set would be in the measurement.
    behind = [p for p, end in produced.end.items() if p[0] != EFFECTS and ends[p] != end]
    assert not behind, behind
    return {p: ends[p] if p[0] == EFFECTS else at for p, at in produced.start.items()}


def seed(connection: psycopg.Connection, starts: Offsets) -> None:
    """The worker begins at these offsets."""
    places = list(starts)
    connection.execute(
        _SEED,
        (
            GROUP,
            [topic for topic, _ in places],
            [partition for _, partition in places],
            [starts[place] for place in places],
        ),
    )


def environment_of(stage: Stage, database: str, settings: Mapping[str, object]) -> dict[str, str]:
    """The settings of a process on a database."""
    return {
        "POINTS_DATABASE_URL": stage.url(database),
        "POINTS_KAFKA_BOOTSTRAP": stage.bootstrap,
        "POINTS_DATA_DIR": str(stage.folder / "services"),
        "POINTS_GROUP": GROUP,
        **{f"POINTS_{name.upper()}": str(value) for name, value in settings.items()},
    }


def _cpu_of(children: Sequence[Child]) -> float:
    return sum(cpu_seconds(child.pid) for child in children)


def _until_handled(
    stage: Stage, connection: psycopg.Connection, produced: Produced, children: Sequence[Child]
) -> tuple[int, int]:
    """Wait until each record has its outcome; MiB after a tenth of them and after all."""
    deadline = time.monotonic() + stage.run_seconds
    early = 0
    while True:
        handled = _one(connection, _HANDLED)
        if not early and handled * 10 >= produced.records:
            early = sum(peak_mib(child.pid) for child in children)
        if handled >= produced.records:
            return early, sum(peak_mib(child.pid) for child in children)
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise LedgerError(
                f"A run is not over after {stage.run_seconds:.0f} s, {handled:,} of"
                f" {produced.records:,} records are handled: the machine is too busy, or use a"
                " smaller --scale.",
                "too_slow",
            )
        time.sleep(LOOK_SECONDS)


def _written(connection: psycopg.Connection) -> tuple[int, int]:
    """Bytes of WAL ever, and of the database now."""
    wal = _one(connection, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
    return wal, _one(connection, "SELECT pg_database_size(current_database())")


def _one(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
