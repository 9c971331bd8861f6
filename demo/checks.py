"""What the demo checks after the load, each by a way that does not trust the part it checks.

Accounting compares Kafka's own end offsets with the ledger's outcome counts; the postings are
summed by PostgreSQL from the stored bytes of the log; the hash chain is recomputed row by row;
balances are compared with a reference model that shares no code with the ledger and reads the raw
data itself.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from ledger.application import Ledger
from ledger.settings import Settings
from ledger.sharding import SYSTEM_SHARD
from schemas.decisions import AccountEvent
from schemas.log_events import decode_account_event
from streams.topics import topic_partitions

COMPARED = ("available", "pending", "expired", "tier")
"""The columns in which a member must agree with the reference model."""

NOTHING_YET: Mapping[str, int | str] = {"available": 0, "pending": 0, "expired": 0, "tier": "none"}
"""A member whose account opens only after the moment asked for."""

OUTCOMES = ("applied", "duplicate", "refused", "dead_lettered", "waiting")

DIFFERENCES_SHOWN = 5
"""Members that a failed comparison names: enough to begin looking."""


class TopicEnds:
    """How many records topics ever got, asked of Kafka."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
        self._partitions: dict[str, int] = {}

    async def __aenter__(self) -> "TopicEnds":
        self._partitions = await topic_partitions(self._bootstrap)
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def records(self, *topics: str) -> int:
        """The sum of the end offsets of all partitions of these topics."""
        partitions = [
            TopicPartition(topic, number)
            for topic in topics
            for number in range(self._partitions[topic])
        ]
        ends = await self._consumer.end_offsets(partitions)
        return sum(ends.values())


async def outcomes_of(
    connection: psycopg.AsyncConnection[Any], topics: Sequence[str]
) -> dict[str, int]:
    """How many inputs of these topics ended how, over the ledger's whole life."""
    cursor = await connection.execute(
        "SELECT outcome, sum(n)::bigint FROM ledger.outcome_counts"
        " WHERE source = ANY(%s) GROUP BY outcome",
        (list(topics),),
    )
    counts = dict.fromkeys(OUTCOMES, 0)
    for outcome, n in await cursor.fetchall():
        if outcome in counts:
            counts[outcome] = n
    return counts


def postings(connection: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """The sum of all postings of the log, how many events do not sum to zero, and how many events
    there are: parsed by PostgreSQL from the stored bytes."""
    row = connection.execute(
        "SELECT coalesce(sum(s), 0)::bigint, count(*) FILTER (WHERE s <> 0), count(*) FROM ("
        " SELECT (SELECT coalesce(sum((posting ->> 1)::bigint), 0) AS s FROM"
        "  jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb -> 'postings') AS posting)"
        " FROM ledger.events) AS each_event"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


async def verify_chain(settings: Settings) -> None:
    """Recompute the hash chain of every shard from the ledger's id on. Raises ChainBroken."""
    ledger = await Ledger.open(settings)
    try:
        for shard in (SYSTEM_SHARD, *range(ledger.identity.shards)):
            await ledger.verify_chain(shard)
    finally:
        await ledger.close()


def last_events(
    connection: psycopg.Connection[Any], member_id: str, limit: int
) -> list[tuple[AccountEvent, str]]:
    """A member's last events, oldest first, each with the ledger's currency."""
    rows = connection.execute(
        "SELECT payload, currency FROM ledger.events, ledger.ledger WHERE member_id = %s"
        " ORDER BY version DESC LIMIT %s",
        (member_id, limit),
    ).fetchall()
    return [(decode_account_event(payload), currency) for payload, currency in reversed(rows)]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many members agree with the reference model; `unsupported` says why none was asked."""

    members: int
    agreeing: int
    differences: tuple[str, ...] = ()
    unsupported: str | None = None


class Reference:
    """The reference model at work in a process of its own, while other checks run here."""

    def __init__(self, program: Path, at: datetime, households: int | None) -> None:
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))
        self._future: Future[dict[str, dict[str, int | str]] | str] = self._pool.submit(
            _reference, program, at, households
        )

    def compare(self, rows: Mapping[str, Mapping[str, Any]]) -> Comparison:
        """Wait for the model and hold every member's row against it."""
        expected = self._future.result()
        self._pool.shutdown()
        if isinstance(expected, str):
            return Comparison(len(rows), 0, unsupported=expected)
        differences: list[str] = []
        members = sorted({*expected, *rows})
        agreeing = 0
        for member in members:
            mine, theirs = rows.get(member, NOTHING_YET), expected.get(member, NOTHING_YET)
            wrong = [
                f"{column} is {mine[column]}, the reference says {theirs[column]}"
                for column in COMPARED
                if mine[column] != theirs[column]
            ]
            agreeing += not wrong
            if wrong and len(differences) < DIFFERENCES_SHOWN:
                differences.append(f"member {member}: {'; '.join(wrong)}")
        return Comparison(len(members), agreeing, tuple(differences))

    def abandon(self) -> None:
        """Stop without waiting for the result."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in (self._pool._processes or {}).values():
            process.terminate()


def _reference(
    program: Path, at: datetime, households: int | None
) -> dict[str, dict[str, int | str]] | str:
    from demo.reference import UnsupportedError, reference_balances

    try:
        return reference_balances(program, at, households)
    except UnsupportedError as error:
        return str(error)
