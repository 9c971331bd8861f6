"""docs/tutorial.md shows what happens: its events, through a real ledger, and what is printed.

The scheduler settles the accounts as of now, so the history that a reader sees may go on after the
lines that the page shows; they begin it.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest
from typer.testing import CliRunner

from cli.app import app
from deploy import embedded
from ledger.application import Ledger
from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate
from ledger.received import received
from ledger.settings import load_settings
from projections.runner import Runner
from schemas.decode import decode_record
from schemas.feeds import FEEDS as TOPICS
from streams.effects import encode_effect
from tests.analytics.grocer import SHARDS, write
from tests.databases import new_database, server_of
from tests.docs.codes import ROOT
from tests.docs.pages import blocks, page

PUBLISHED, BALANCE, HISTORY, LIABILITY, CAMPAIGNS, FEEDS, VERIFIED = blocks(page("tutorial.md"), "")

EVENTS = (ROOT / "demo" / "first-steps.jsonl").read_text(encoding="utf-8").splitlines()

EFFECTS_MAX = 10

Points = Callable[..., str]


async def take(url: str) -> None:
    """The events in the order of the file, then the effects, which travel by a topic."""
    settings = load_settings({"POINTS_DATABASE_URL": url})
    ledger = await Ledger.open(settings)
    try:
        await apply(ledger, [line.encode() for line in EVENTS])
        effects = [
            encode_effect(*pending)
            for shard in range(settings.shards)
            for pending in await ledger.pending_effects(shard, EFFECTS_MAX)
        ]
        await apply(ledger, effects)
    finally:
        await ledger.close()


async def apply(ledger: Ledger, values: list[bytes]) -> None:
    for value in values:
        (outcome,) = await ledger.handle([received(decode_record(value))])
        assert outcome.kind == "applied", outcome


@pytest.fixture(scope="module")
def loaded(database: str) -> str:
    """The URL of a database that holds what the tutorial has loaded."""
    migrate(database)
    program = (ROOT / "demo" / "program.yaml").read_text(encoding="utf-8")
    settings = load_settings({"POINTS_DATABASE_URL": database})
    create_ledger(database, load_program(program, "program.yaml"), settings.shards)
    asyncio.run(take(database))
    Runner(database).run(until_caught_up=True)
    return database


@pytest.fixture
def points(loaded: str, monkeypatch: pytest.MonkeyPatch) -> Points:
    """Run a `points` command as the tutorial writes it."""
    monkeypatch.setenv("POINTS_DATABASE_URL", loaded)

    def run(command: str) -> str:
        assert command in [
            line for text in blocks(page("tutorial.md"), "sh") for line in text.splitlines()
        ]
        result = CliRunner().invoke(app, command.split()[1:], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    return run


def test_the_events_published() -> None:
    types = Counter(json.loads(line)["type"] for line in EVENTS)
    shown = {kind: int(number) for number, kind in map(str.split, PUBLISHED.splitlines())}
    assert shown == types


def test_the_balance(points: Points) -> None:
    assert points("points balance m-1001 --at 2026-02-01T00:00:00Z").startswith(BALANCE)


def test_the_history(points: Points) -> None:
    assert points("points history m-1001").startswith(HISTORY)


def test_the_other_questions(points: Points) -> None:
    assert points("points segments m-1001 --at 2026-04-01T00:00:00Z")
    assert points("points balances --csv").count("m-100") == 2


HOUSEHOLDS = 60


@pytest.fixture(scope="module")
def year(services: embedded.Services) -> Iterator[str]:
    """The URL of a database with what `points demo --households 60` loads."""
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        new_database(admin, "year") as name,
    ):
        url = server_of(services.database_url) + name
        migrate(url)
        program = (ROOT / "demo" / "program.yaml").read_text(encoding="utf-8")
        create_ledger(url, load_program(program, "program.yaml"), SHARDS)
        asyncio.run(write(url, HOUSEHOLDS))
        Runner(url).run(until_caught_up=True)
        yield url


def test_the_figures_of_a_year(year: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"points demo --households {HOUSEHOLDS} --keep" in page("tutorial.md")
    monkeypatch.setenv("POINTS_DATABASE_URL", year)
    for begins, shown in (("points liability", LIABILITY), ("points kpi", CAMPAIGNS)):
        (command,) = [
            line
            for text in blocks(page("tutorial.md"), "sh")
            for line in text.splitlines()
            if line.startswith(begins)
        ]
        done = CliRunner().invoke(app, command.split()[1:], catch_exceptions=False)
        assert done.stdout == shown


def test_what_auditors_and_readers_see_is_of_the_same_form() -> None:
    assert re.search(r"^33 shards, \d+ events and \d+ dedupe rows verified", VERIFIED)
    assert [line.split()[0] for line in FEEDS.splitlines()] == list(TOPICS)
