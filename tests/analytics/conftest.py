"""A ledger that has taken the raw messages, folded, beside DuckDB with the same messages."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import duckdb
import orjson
import psycopg
import pytest
from psycopg import Connection

from deploy.embedded import Services
from ledger.application import Ledger
from ledger.core.program.load import load_program
from ledger.received import received
from ledger.settings import load_settings
from projections.runner import Runner
from schemas.decode import decode_record
from streams.effects import encode_effect
from tests.analytics import raw
from tests.audit.conftest import admin, owner, server, shop, template, url, written
from tests.databases import new_ledger, server_of

__all__ = ["admin", "owner", "server", "shop", "template", "url", "written"]
"""Fixtures that these tests share with others."""

SHARDS = 4

AT_ONCE_DAYS = 3
"""Inputs of so many days are taken at once; then the rewards that they led to."""

INPUTS_MAX = 400
EFFECTS_MAX = 500


class Figures(NamedTuple):
    """`reader`: a session of the role points_reader. `raw`: the messages in DuckDB."""

    url: str
    reader: Connection
    raw: duckdb.DuckDBPyConnection


async def _load(url: str, events: Sequence[raw.Event]) -> None:
    ledger = await Ledger.open(load_settings({}, database_url=url, shards=SHARDS, partitions=4))

    async def take(values: Sequence[bytes]) -> None:
        for start in range(0, len(values), INPUTS_MAX):
            some = [received(decode_record(value)) for value in values[start : start + INPUTS_MAX]]
            for outcome in await ledger.handle(some):
                assert outcome.kind in ("applied", "refused"), outcome

    def span(event: raw.Event) -> int:
        since = datetime.fromisoformat(event["time"]) - raw.SINCE
        return since // timedelta(days=AT_ONCE_DAYS)

    try:
        for _, some in groupby(events, key=span):
            await take([orjson.dumps(event) for event in some])
            for shard in range(SHARDS):
                pending = await ledger.pending_effects(shard, EFFECTS_MAX)
                await take([encode_effect(*one) for one in pending])
                for one in pending[-1:]:
                    await ledger.mark_effects_published(shard, one[1])
    finally:
        await ledger.close()


@pytest.fixture(scope="package")
def figures(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Figures]:
    """Sixty households' year, folded."""
    server = server_of(services.database_url)
    program = load_program(raw.PROGRAM, "program.yaml")
    events = raw.events()
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        new_ledger(server, admin, program, SHARDS, "figures") as name,
    ):
        url = server + name
        asyncio.run(_load(url, events))
        Runner(url).run(until_caught_up=True)
        with (
            psycopg.connect(url, autocommit=True) as reader,
            raw.in_duckdb(events, tmp_path_factory.mktemp("raw")) as messages,
        ):
            reader.execute("SET ROLE points_reader")
            yield Figures(url, reader, messages)
