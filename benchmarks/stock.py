"""`stock`: the parts as they come, as one pipeline: a plain Faust agent, and the `eventsourcing`
library's own PostgreSQL recorder.

The agent takes records one by one, as Faust's documents show, and saves one event for each: no
rules, no dedupe, no chain, no read model. It runs in a process of its own, `python -m
benchmarks.stock`, over the start of each set.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import faust
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict

from benchmarks import pipeline, runs
from benchmarks.report import Figure, Result
from benchmarks.sets import fill
from benchmarks.stage import Stage
from ledger.accounts import account_id_of
from ledger.settings import load_settings

EVENTS = 10_000
"""Some ten seconds of it."""

GROUP = "stock"


def measure(stage: Stage, name: str) -> list[Result]:
    """Purchases per second, and how many times that the pipeline handles."""
    produced = fill(stage, name)
    run = pipeline.one_run(stage, name)
    stage.progress(f"  {name}: stock")
    database = f"{name}_stock"
    stage.database(database)
    group = f"{GROUP}-{name}"
    starts = {place: at for place, at in produced.start.items() if place[0] == "purchases"}
    asyncio.run(_seek(stage.bootstrap, group, starts))
    environment = runs.environment_of(stage, database, {"group": group})
    count = min(stage.sized(EVENTS, 500), produced.purchases * 9 // 10)
    arguments = [str(count), str(stage.folder / "faust")]
    child = stage.child(f"stock-{name}", arguments, environment, "benchmarks.stock")
    commits = json.loads(child.answer(stage.run_seconds))
    stage.drop(database)
    rate, _ = runs.rate_of(commits, 0.0)
    figures = (
        Figure("stock", "purchases/s", (rate,)),
        Figure("one worker", "purchases/s", (run.rate,), "stock"),
    )
    keys = {"to_stock": run.rate / rate}
    return [Result(f"stock, {name}", {"events": count}, figures, keys)]


async def _seek(bootstrap: str, group: str, starts: dict[tuple[str, int], int]) -> None:
    """The group begins at these offsets."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = {TopicPartition(*place): offset for place, offset in starts.items()}
        consumer.assign(list(places))
        await consumer.commit(places)
    finally:
        await consumer.stop()


def _recorder(url: str) -> Any:
    """The library's recorder, set up as one of its applications does."""
    to = conninfo_to_dict(url)
    names = {"dbname": "DBNAME", "host": "HOST", "port": "PORT", "user": "USER"}
    settings = {f"POSTGRES_{name}": str(to[key]) for key, name in names.items()}
    settings["POSTGRES_PASSWORD"] = str(to.get("password", ""))
    settings["PERSISTENCE_MODULE"] = "eventsourcing.postgres"
    factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(
        Environment("benchmarks", settings)
    )
    return factory.application_recorder()


def _main(count: int, folder: Path) -> None:
    settings = load_settings()
    recorder = _recorder(settings.require_database_url())
    app = faust.App(
        settings.group,
        broker=f"kafka://{settings.kafka_bootstrap}",
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        datadir=str(folder),
    )
    versions: Counter[str] = Counter()
    commits: list[tuple[float, int]] = []

    async def save(purchases: Any) -> None:
        async for purchase in purchases:
            member = purchase["subject"]
            versions[member] += 1
            event = StoredEvent(
                account_id_of("stock", member),
                versions[member],
                purchase["type"],
                msgspec.json.encode(purchase),
            )
            recorder.insert_events([event])
            commits.append((time.time(), 1))
            if len(commits) == count:
                print(msgspec.json.encode(commits).decode(), flush=True)
                os._exit(0)  # an ordered end takes seconds and measures nothing

    app.agent(app.topic("purchases"), name="save")(save)

    async def work() -> None:
        await app.start()
        await asyncio.Event().wait()

    asyncio.run(work())


if __name__ == "__main__":
    _main(int(sys.argv[1]), Path(sys.argv[2]))
