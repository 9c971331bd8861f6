"""The gallery of programs: each is a program that can be used, and its story is what happens.

A story's table says what a member sees at named moments. Here the program's events go through a
real ledger and its read models, which are then asked for every row of the table.
"""

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import psycopg
import pytest
from typer.testing import CliRunner

from cli.app import app
from deploy.embedded import Services
from ledger.application import Ledger
from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate
from ledger.received import received
from ledger.settings import load_settings
from projections import queries
from projections.connection import connect
from projections.runner import Runner
from schemas.decode import decode_record
from streams.effects import encode_effect
from tests.databases import copied, server_of

DEMO = Path(__file__).parents[2] / "demo"
GALLERY = DEMO / "programs"
NAMES = sorted(path.stem for path in GALLERY.glob("*.yaml"))

SHARDS = 4
EFFECTS_MAX = 100

_ROW = re.compile(
    r"^\| (?P<when>\d{4}-\d\d-\d\d \d\d:\d\d) \| (?P<member>[\w-]+) \|.*\| (?P<available>-?[\d,]+)"
    r" \| (?P<pending>[\d,]+) \| (?P<tier>\w+) \|$",
    re.MULTILINE,
)


class Row(NamedTuple):
    """What a member sees at a moment (local time of the program)."""

    when: str
    member: str
    available: int
    pending: int
    tier: str


def told(name: str) -> list[Row]:
    """The rows of the story's table."""
    story = (GALLERY / f"{name}.md").read_text(encoding="utf-8")
    found = [
        Row(
            row["when"],
            row["member"],
            int(row["available"].replace(",", "")),
            int(row["pending"].replace(",", "")),
            row["tier"],
        )
        for row in _ROW.finditer(story)
    ]
    assert len(found) == len(re.findall(r"^\| \d{4}-", story, re.MULTILINE))
    return found


async def take(url: str, name: str) -> None:
    """Every event in the order of the file; each effect as soon as it is there."""
    values = (GALLERY / f"{name}.jsonl").read_bytes().splitlines()
    ledger = await Ledger.open(load_settings({}, database_url=url, shards=SHARDS, partitions=4))
    try:
        for value in values:
            await apply(ledger, value)
            for shard in range(SHARDS):
                for pending in await ledger.pending_effects(shard, EFFECTS_MAX):
                    await apply(ledger, encode_effect(*pending))
                    await ledger.mark_effects_published(shard, pending[1])
    finally:
        await ledger.close()


async def apply(ledger: Ledger, value: bytes) -> None:
    (outcome,) = await ledger.handle([received(decode_record(value))])
    assert outcome.kind in ("applied", "refused"), outcome


@pytest.fixture
def ledger_url(services: Services, migrated: str) -> Iterator[str]:
    """The URL of a database that a ledger can be created in."""
    server = server_of(services.database_url)
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        copied(server, admin, migrated) as url,
    ):
        yield url


@pytest.fixture(scope="module")
def migrated(database: str) -> str:
    """The name of a database without a ledger, for copying."""
    migrate(database)
    return database.removeprefix(server_of(database))


@pytest.mark.parametrize("name", NAMES)
def test_a_story_is_what_happens(ledger_url: str, name: str) -> None:
    program = load_program((GALLERY / f"{name}.yaml").read_text(encoding="utf-8"), name)
    create_ledger(ledger_url, program, SHARDS)
    asyncio.run(take(ledger_url, name))
    Runner(ledger_url).run(until_caught_up=True)
    zone, rows = ZoneInfo(program.time_zone), told(name)
    assert rows
    with connect(ledger_url) as session:
        assert [seen(session, row, zone) for row in rows] == rows


def seen(session: psycopg.Connection, row: Row, zone: ZoneInfo) -> Row:
    """The row as the read models have it."""
    at = datetime.fromisoformat(row.when).replace(tzinfo=zone)
    found = queries.balance_of(session, row.member, at)
    assert found is not None, row
    return Row(row.when, row.member, found.available, found.pending, found.tier)


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_used(name: str) -> None:
    path = GALLERY / f"{name}.yaml"
    result = CliRunner().invoke(app, ["program", "check", str(path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{path} is a program that can be used: {name}, ")


def test_the_gallery_tells_of_each() -> None:
    page = (GALLERY / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)]+)\)", page)
    assert {target for target in linked if target.endswith(".md")} >= {f"{n}.md" for n in NAMES}
    assert "../program.yaml" in linked, "the grocer is the demo's program"
    for target in linked:
        assert (GALLERY / target).exists(), target
