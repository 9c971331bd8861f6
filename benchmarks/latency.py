"""`latency`: from a record sent to the balance that shows it, at a steady 1,000 purchases a second.

Worker and projections run as in service, on the million members with ten million inputs before.
Every tenth purchase is a probe, the first one of a new member; when the read model first shows a
balance of that member is looked for every few milliseconds, which is in the figure.
"""

import asyncio
import time
from itertools import count
from random import Random

import psycopg
from aiokafka import AIOKafkaProducer

from benchmarks import runs
from benchmarks.ready import until_ready
from benchmarks.report import Figure, Result
from benchmarks.sets import MEMBERS, TWO_LINE, end_offsets, fill, purchase, template
from benchmarks.stage import Stage
from ledger.errors import LedgerError

PER_SECOND = 1_000
WARM_SECONDS = 8
SECONDS = 40
"""Of which the probes count; 4,000 of them."""

PROBE_EVERY = 10
TICK_SECONDS = 0.005
"""Between two looks at the clock of the sender: records leave at most that late, and are measured
from when they do."""

LOOK_SECONDS = 0.002
"""Between two looks at the read model."""

LATE_SECONDS = 30.0
"""A probe that is not seen by then is lost."""

_SEEN = "SELECT member_id FROM read.balances WHERE member_id = ANY(%s) AND pending > 0"


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
        warm, seconds = stage.sized(WARM_SECONDS, 3), stage.sized(SECONDS, 3)
        stage.progress(f"  {PER_SECOND} purchases/s for {warm} and {seconds} s")
        waits = asyncio.run(_probe(stage, url, warm, seconds))
    finally:
        folding.stop()
        worker.stop()
    stage.drop(database)
    waits.sort()
    at = {
        f"p{percent}": waits[min(len(waits) - 1, len(waits) * percent // 100)] * 1_000
        for percent in (50, 95, 99)
    }
    figures = [Figure(name, "ms", (value,)) for name, value in at.items()]
    figures.append(Figure("max", "ms", (waits[-1] * 1_000,)))
    sizes: dict[str, float] = {"purchases per second": PER_SECOND, "probes": len(waits)}
    return [Result("latency", sizes, tuple(figures), {"latency_p99_ms": at["p99"]})]


async def _probe(stage: Stage, url: str, warm: int, seconds: int) -> list[float]:
    """Send and look; the seconds of each probe that counts."""
    records = (warm + seconds) * PER_SECOND
    sent: dict[str, float] = {}
    waits: dict[str, float] = {}
    over = asyncio.Event()
    looking = asyncio.create_task(_look(url, sent, waits, over))
    try:
        await _send(stage.bootstrap, records, sent, looking)
        over.set()
        await asyncio.wait_for(looking, LATE_SECONDS)
    except TimeoutError:
        raise LedgerError(
            f"{len(sent)} probes were not seen within {LATE_SECONDS:.0f} s: the machine does not"
            f" keep up with {PER_SECOND} purchases a second.",
            "too_slow",
        ) from None
    finally:
        looking.cancel()
    first = warm * PER_SECOND
    return [wait for member, wait in waits.items() if int(member.partition("-")[2]) >= first]


async def _send(
    bootstrap: str, records: int, sent: dict[str, float], looking: "asyncio.Task[None]"
) -> None:
    random = Random(records)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
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
                sent[member] = time.perf_counter()
            await producer.send("purchases", value, key=member.encode())
    finally:
        await producer.stop()


async def _look(
    url: str, sent: dict[str, float], waits: dict[str, float], over: asyncio.Event
) -> None:
    """Move each probe from `sent` to `waits` once the read model shows it; until all are seen."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while sent or not over.is_set():
            if sent:
                rows = await (await connection.execute(_SEEN, (list(sent),))).fetchall()
                now = time.perf_counter()
                for (member,) in rows:
                    waits[member] = now - sent.pop(member)
            await asyncio.sleep(LOOK_SECONDS)
