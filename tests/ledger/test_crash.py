"""The database goes away in the middle of an append: the same call again finds the truth."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from ledger import append
from ledger.application import Ledger
from ledger.errors import AppendFailed, DatabaseUnavailable
from ledger.received import Outcome, Received, SourcePosition
from ledger.recorder import COPY_INPUTS, INSERT_INPUTS
from ledger.settings import Settings, load_settings
from tests.ledger.events import (
    GROUP,
    PARTITIONS,
    SHARDS,
    direct,
    purchase,
    records,
    stretch,
    survey,
)
from tests.ledger.opened import opened, postings_sum, run
from tests.ledger.proxy import Cut, Wire, wire


async def until_answered(
    ledger: Ledger, inputs: list[Received], source: SourcePosition | None = None
) -> list[Outcome]:
    """Call again until the database is back, as the worker does."""
    while True:
        try:
            return await ledger.handle(inputs, source)
        except DatabaseUnavailable:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def opened_over_a_wire(url: str) -> AsyncIterator[tuple[Ledger, Wire]]:
    """An open ledger, and the wire between it and its database."""
    async with wire(url) as (wired_url, wired):
        settings = load_settings({}, database_url=wired_url, shards=SHARDS, partitions=PARTITIONS)
        async with opened(settings) as ledger:
            yield ledger, wired


@pytest.mark.parametrize(("cut", "kind"), [("before", "applied"), ("after", "duplicate")])
def test_the_answer_to_commit_is_lost(
    url: str, owner: psycopg.Connection, cut: Cut, kind: str
) -> None:
    async def test() -> None:
        async with opened_over_a_wire(url) as (ledger, wired):
            await ledger.handle(direct(survey("m1")))
            wired.cut = cut
            inputs = direct(purchase("m1", "o1"))
            with pytest.raises(DatabaseUnavailable):
                await ledger.handle(inputs)
            assert wired.cuts == 1
            assert [o.kind for o in await until_answered(ledger, inputs)] == [kind]
            (next_one,) = await ledger.handle(direct(purchase("m1", "o2")))
            assert next_one.position == 3
            assert (await ledger.account("m1")).granted == 400

    run(test())
    assert postings_sum(owner) == 0


@pytest.mark.parametrize(("cut", "kind"), [("before", "applied"), ("after", "skipped")])
def test_the_answer_to_commit_is_lost_for_records(url: str, cut: Cut, kind: str) -> None:
    async def test() -> None:
        async with opened_over_a_wire(url) as (ledger, wired):
            await ledger.handle(records([purchase("m1", "o0")]), stretch(0, 1))
            wired.cut = cut
            inputs = records([purchase("m1", "o1"), purchase("m2", "o2")], first=1)
            with pytest.raises(DatabaseUnavailable):
                await ledger.handle(inputs, stretch(1, 3))
            outcomes = await until_answered(ledger, inputs, stretch(1, 3))
            assert [o.kind for o in outcomes] == [kind] * 2
            assert (await ledger.stream_positions(GROUP))["purchases", 0].next_offset == 3
            assert await ledger.outcome_counts() == {("purchases", "applied"): 3}

    run(test())


def test_killed_while_it_waits_for_a_head(settings: Settings, url: str) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(survey("m1")))
            async with await psycopg.AsyncConnection.connect(url) as blocker:
                await blocker.execute("SELECT * FROM ledger.heads FOR UPDATE")
                inputs = records([purchase("m1", "o1")])
                waiting = asyncio.create_task(ledger.handle(inputs, stretch(0, 1)))
                await kill_when_waiting(url)
                with pytest.raises(DatabaseUnavailable):
                    await waiting
                await blocker.rollback()
            assert await ledger.stream_positions(GROUP) == {}
            outcomes = await until_answered(ledger, inputs, stretch(0, 1))
            assert [o.kind for o in outcomes] == ["applied"]

    run(test())


def test_cancelled_while_it_waits_for_a_head(settings: Settings, url: str) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(survey("m1")))
            async with await psycopg.AsyncConnection.connect(url) as blocker:
                await blocker.execute("SELECT * FROM ledger.heads FOR UPDATE")
                inputs = direct(purchase("m1", "o1"))
                waiting = asyncio.create_task(ledger.handle(inputs))
                await found_waiting(url)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await blocker.rollback()
            outcomes = await until_answered(ledger, inputs)
            assert [o.kind for o in outcomes] == ["applied"]

    run(test())


def test_a_connection_that_a_cancelled_call_left_in_a_pipeline_is_not_used_again(
    url: str,
) -> None:
    settings = load_settings(
        {}, database_url=url, shards=SHARDS, partitions=PARTITIONS, database_connections=2
    )

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(survey("m1")))
            for number in range(4):
                async with ledger._pool.connection() as connection:
                    await connection.pipeline().__aenter__()
                (outcome,) = await ledger.handle(direct(purchase("m1", f"o{number}")))
                assert outcome.kind == "applied"

    run(test())


def test_rows_that_the_database_refuses(
    settings: Settings, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by a constraint in the last round trip: final, and nothing of it is stored."""
    owner.execute("ALTER TABLE ledger.heads ADD CHECK (position < 3) NOT VALID")

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1"), purchase("m1", "o2")))
            with pytest.raises(AppendFailed):
                await ledger.handle(direct(purchase("m1", "o3"), purchase("m1", "o4")))
            assert await ledger.outcome_counts() == {("direct", "applied"): 2}
            assert (await ledger.account("m1")).version == 2
            # What the database refuses of the rows is final too, inserted or copied.
            monkeypatch.setattr(append, "INSERT_INPUTS", INSERT_INPUTS.replace("key", "kez"))
            with pytest.raises(AppendFailed):
                await ledger.handle(direct(purchase("m2", "o5")))
            monkeypatch.setattr(append, "INSERTED_MAX", 0)
            monkeypatch.setattr(append, "COPY_INPUTS", COPY_INPUTS.replace("key", "kez"))
            with pytest.raises(AppendFailed):
                await ledger.handle(direct(purchase("m2", "o5")))
            monkeypatch.undo()
            (outcome,) = await ledger.handle(direct(purchase("m2", "o5")))
            assert outcome.kind == "applied"

    run(test())


async def kill_when_waiting(url: str) -> None:
    """Terminate the session that waits for a lock."""
    pid = await found_waiting(url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        await admin.execute("SELECT pg_terminate_backend(%s)", (pid,))


async def found_waiting(url: str) -> int:
    """The process id of the session that waits for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        while True:
            cursor = await admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()"
            )
            row = await cursor.fetchone()
            if row is not None:
                return int(row[0])
            await asyncio.sleep(0.01)
