"""`latency`: from a record sent to the balance that shows it, at a steady 1,000 purchases a second.

Worker and projections run as in service, on the million members with ten million inputs before.
Every tenth purchase is a probe, the first one of a new member; when the read model first shows a
balance of that member is looked for every few milliseconds, which is in the figure. It begins once
both processes have nothing to do. A machine that does not keep up measures its backlog: that is
told beside the figures; so are the processors' time, and what the server did of its own accord.
"""

import asyncio
import os
import time
from collections import defaultdict
from itertools import count
from random import Random
from statistics import median

import psycopg
from aiokafka import AIOKafkaProducer
from msgspec import Struct

from benchmarks import runs
from benchmarks.processes import ServerCpu, cpu_seconds
from benchmarks.ready import until_ready
from benchmarks.report import Figure, Result
from benchmarks.sets import MEMBERS, TWO_LINE, end_offsets, fill, purchase, template
from benchmarks.stage import Stage
from demo.children import Child
from ledger.errors import LedgerError

PER_SECOND = 1_000
WARM_SECONDS = 25
"""A broker that has just started compiles itself: Kafka takes half a processor for the first twenty
seconds of this load, and a third of that from then on. In service it has run for longer."""

SECONDS = 30
"""Of which the probes count; 3,000 of them."""

PROBE_EVERY = 10
TICK_SECONDS = 0.01
"""Between two looks at the clock of the sender: records leave at most that late, and are measured
from when they are handed to the producer."""

LINGER_MS = 2
"""How long the producer waits for more records to send: without it each is a request of its own,
and the broker is as busy with the sender as with everything that is measured."""

LOOK_SECONDS = 0.01
"""Between two looks at the read model, which is in the figure: asking more often took a third of a
processor away from what is measured."""

LATE_SECONDS = 120.0
"""A probe that is not seen by then is lost."""

IDLE_SECONDS = 120.0
"""By then both processes have folded what a new ledger holds."""

BEHIND_SECONDS = 1.0
"""A backlog longer than this when sending ended, or sending that was slower by as much, means that
the rate was not sustained."""

_SEEN = "SELECT member_id FROM read.balances WHERE member_id = ANY(%s) AND pending > 0"
_BY_INDEX = "SET enable_seqscan = off"
"""For who looks. The question is planned while the table is empty, and that plan is kept: to read
all of a table that grows by a thousand rows a second took a third of a processor away from what is
measured."""

_RECORDED = (
    "SELECT member_id, extract(epoch FROM recorded_at)::float8 FROM ledger.events"
    " WHERE version = 1 AND member_id LIKE 'probe-%'"
)
_UNFOLDED = (
    "SELECT count(*) FILTER (WHERE p.position IS DISTINCT FROM h.position)"
    " FROM ledger.heads AS h LEFT JOIN read.positions AS p USING (shard)"
)
_OWN_ACCORD = (
    "SELECT (SELECT sum(total_autovacuum_time + total_autoanalyze_time) FROM pg_stat_all_tables),"
    " (SELECT num_timed + num_requested FROM pg_stat_checkpointer)"
)
"""Milliseconds of autovacuum in this database, pauses included; checkpoints of the server. Either
may hold an append up for longer than it takes."""


class _Probes(Struct):
    """Of each probe, by member: when it was sent and when it was seen (`time.time()`). `behind`:
    probes that were sent and not seen when sending ended; `late`: seconds that sending took
    longer than it should."""

    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    behind: int = 0
    late: float = 0.0


class _Spent(Struct):
    """Since the processes began: seconds by the clock, of CPU by process, and what the server did
    of its own accord (`_OWN_ACCORD`)."""

    seconds: float
    cpu: dict[str, float]
    autovacuum_ms: float
    checkpoints: int


def measure(stage: Stage) -> list[Result]:
    """Milliseconds: the middle, the slow ones, the slowest."""
    fill(stage, TWO_LINE)
    database = f"{TWO_LINE}_latency"
    url = stage.database(database, template(TWO_LINE))
    starts = asyncio.run(end_offsets(stage.bootstrap))
    with psycopg.connect(url, autocommit=True) as connection:
        runs.seed(connection, starts)
    environment = runs.environment_of(stage, database, {})
    worker = stage.child("worker-latency", ["worker"], environment)
    folding = stage.child("projections-latency", ["projections", "run"], environment)
    try:
        until_ready([worker])
        _until_idle(url, folding)
        stage.checkpoint()
        warm, seconds = stage.sized(WARM_SECONDS, 2), stage.sized(SECONDS, 2)
        stage.progress(f"  {PER_SECOND} purchases/s for {warm} and {seconds} s")
        server = ServerCpu(stage.services)
        with psycopg.connect(url, autocommit=True) as connection:
            before = _spent(connection, server, worker, folding)
            probes = asyncio.run(_probe(stage, url, warm, seconds))
            after = _spent(connection, server, worker, folding)
            recorded: dict[str, float] = dict(connection.execute(_RECORDED).fetchall())
    finally:
        folding.stop()
        worker.stop()
    stage.drop(database)
    return [_result(stage, probes, recorded, warm * PER_SECOND, before, after)]


def _spent(
    connection: psycopg.Connection, server: ServerCpu, worker: Child, folding: Child
) -> _Spent:
    row = connection.execute(_OWN_ACCORD).fetchone()
    assert row is not None
    postgres, kafka = server.seconds()
    own = os.times()
    cpu = {
        "worker": cpu_seconds(worker.pid),
        "read models": cpu_seconds(folding.pid),
        "PostgreSQL": postgres,
        "Kafka": kafka,
        "sender and looker": own.user + own.system,
    }
    return _Spent(time.monotonic(), cpu, float(row[0]), int(row[1]))


def _result(
    stage: Stage,
    probes: _Probes,
    recorded: dict[str, float],
    first: int,
    before: _Spent,
    after: _Spent,
) -> Result:
    """The figures of the probes from record `first` on."""
    counted = [member for member in probes.seen if int(member.partition("-")[2]) >= first]
    waits = sorted((probes.seen[m] - probes.sent[m]) * 1_000 for m in counted)
    at = {f"p{p}": waits[min(len(waits) - 1, len(waits) * p // 100)] for p in (50, 95, 99)}
    figures = [Figure(name, "ms", (value,)) for name, value in at.items()]
    appending = sorted((recorded[m] - probes.sent[m]) * 1_000 for m in counted)
    folding = sorted((probes.seen[m] - recorded[m]) * 1_000 for m in counted)
    slow = len(counted) * 99 // 100
    by_second: defaultdict[int, float] = defaultdict(float)
    for m in counted:
        second = int(m.partition("-")[2]) // PER_SECOND
        by_second[second] = max(by_second[second], (probes.seen[m] - probes.sent[m]) * 1_000)
    elapsed = after.seconds - before.seconds
    behind = probes.behind * PROBE_EVERY
    figures += [
        Figure("max", "ms", (waits[-1],)),
        Figure("slowest of each second, median", "ms", (median(by_second.values()),)),
        Figure("sent to append begun, p50", "ms", (median(appending),)),
        Figure("sent to append begun, p99", "ms", (appending[slow],)),
        Figure("append begun to readable, p50", "ms", (median(folding),)),
        Figure("append begun to readable, p99", "ms", (folding[slow],)),
        *(
            Figure(f"CPU of {name}", "%", ((used - before.cpu[name]) / elapsed * 100,))
            for name, used in after.cpu.items()
        ),
        Figure("autovacuum, at most", "ms", (after.autovacuum_ms - before.autovacuum_ms,)),
        Figure("checkpoints", "times", (float(after.checkpoints - before.checkpoints),)),
        Figure("behind when sending ended", "purchases", (float(behind),)),
    ]
    notes: tuple[str, ...] = ()
    if behind > BEHIND_SECONDS * PER_SECOND or probes.late > BEHIND_SECONDS:
        note = (
            f"The machine did not sustain {PER_SECOND:,} purchases/s: {behind:,} were not readable"
            f" when sending ended, {probes.late:.1f} s late. These figures are of a backlog."
        )
        stage.progress(f"  {note}")
        notes = (note,)
    sizes: dict[str, float] = {"purchases per second": PER_SECOND, "probes": len(waits)}
    return Result("latency", sizes, tuple(figures), {"latency_p99_ms": at["p99"]}, notes)


def _until_idle(url: str, folding: Child) -> None:
    """Wait until the projections have folded all that a new ledger holds."""
    deadline = time.monotonic() + IDLE_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute(_UNFOLDED).fetchone()
            if row is not None and row[0] == 0:
                return
            folding.check()
            if time.monotonic() > deadline:
                raise LedgerError(
                    f"The projections are not idle after {IDLE_SECONDS:.0f} s.", "not_ready"
                )
            time.sleep(0.1)


async def _probe(stage: Stage, url: str, warm: int, seconds: int) -> _Probes:
    """Send and look, until all probes are seen."""
    records = (warm + seconds) * PER_SECOND
    probes = _Probes()
    unseen: set[str] = set()
    over = asyncio.Event()
    looking = asyncio.create_task(_look(url, probes, unseen, over))
    try:
        begun = time.monotonic()
        await _send(stage.bootstrap, records, probes, unseen, looking)
        probes.behind, probes.late = len(unseen), time.monotonic() - begun - warm - seconds
        over.set()
        await asyncio.wait_for(looking, LATE_SECONDS)
    except TimeoutError:
        raise LedgerError(
            f"{len(unseen)} probes were not seen within {LATE_SECONDS:.0f} s: the machine does not"
            f" keep up with {PER_SECOND} purchases a second.",
            "too_slow",
        ) from None
    finally:
        looking.cancel()
    return probes


async def _send(
    bootstrap: str,
    records: int,
    probes: _Probes,
    unseen: set[str],
    looking: "asyncio.Task[None]",
) -> None:
    random = Random(records)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=LINGER_MS)
    await producer.start()
    try:
        begun = time.perf_counter()
        for number in count():
            if number == records or looking.done():
                break
            early = number / PER_SECOND - (time.perf_counter() - begun)
            if early > 0:
                await asyncio.sleep(max(early, TICK_SECONDS))
            probe = number % PROBE_EVERY == 0
            member = f"probe-{number:07}" if probe else f"m-{random.randrange(MEMBERS):07}"
            value = purchase(random, member, f"now-{number}", time.time_ns() // 1_000, 1_000)
            if probe:
                probes.sent[member] = time.time()
                unseen.add(member)
            await producer.send("purchases", value, key=member.encode())
    finally:
        await producer.stop()


async def _look(url: str, probes: _Probes, unseen: set[str], over: asyncio.Event) -> None:
    """Note when the read model first shows each of `unseen`; until all are seen."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_BY_INDEX)
        while unseen or not over.is_set():
            if unseen:
                rows = await (await connection.execute(_SEEN, (list(unseen),))).fetchall()
                now = time.time()
                for (member,) in rows:
                    probes.seen[member] = now
                    unseen.remove(member)
            await asyncio.sleep(LOOK_SECONDS)
