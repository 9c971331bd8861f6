"""A ledger with a bit of everything in it, folded; each test gets a copy of it to damage."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.core.program.form import Award, EarnRule, OnActivity, Program
from ledger.core.program.load import load_program
from ledger.received import asked
from ledger.settings import load_settings
from projections.runner import Runner
from schemas import inputs
from schemas.decisions import RfmBoundsSet
from tests.crash.story import BATCHES, CODES, DIRECT
from tests.databases import copied, new_ledger
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import (
    PARTITIONS,
    SHARDS,
    activity,
    day,
    direct,
    head,
    purchase,
    referral,
    reserve,
    returned,
    reward,
    updated,
)
from tests.ledger.opened import instant
from tests.ledger.pairs import merge, standing, transfer
from tests.projections.history import TABLES

MORE = """
transfers: {}
closing: {notice: P30D}
charities: [{id: shelter}]
rewards:
  - {id: cup, points: 2, kind: gift, stock: 1}
  - {id: cinema, points: 3, kind: voucher}
segments:
  - {id: northerners, when: {region: north}}
  - {id: rich, when: {balance: {at_least: 100}}}
  - {id: lapsed, when: {recency_days: {at_least: 20}}}
  - {id: champions, when: {rfm: {recency: [4, 5]}}}
"""

DAMAGED = (
    "ledger.events",
    "ledger.inputs",
    "ledger.heads",
    *(f"read.{table}" for table in TABLES),
)
"""What tests change."""

LATER: list[list[inputs.InputEvent]] = [
    [
        reward("m1", "9:9:0", at=63),
        purchase(None, "anonymous-1", at=63),
        activity("m1", "visit", "store-1", at=63),  # refused: the program has no such rule
        activity("m1", "review", "sku-1", at=63, store="s1"),
        inputs.PointsAdjust(
            **head("m6", "adjust-1", 63), data=inputs.AdjustData(500, "goodwill", "anna")
        ),
        purchase("m7", "o72", at=63),
        purchase("m8", "o80", at=63),
    ],
    [
        transfer("m6", "m7", "t1", at=64, points=40),
        transfer("m6", "m6-2", "t2", at=64, points=999_999),  # refused
        returned("m7", "o70", "r70", at=64),  # waits; the member is merged before it is decided
        reserve("m6", "h6", at=64.3),
        reserve("m7", "h71", at=64.999),
        reserve("m7", "h72", at=64.999),
        inputs.PointsDonate(**head("m6", "donate-1", 64.2), data=inputs.DonateData("shelter", 5)),
    ],
    [
        inputs.ReservationCancel(**head("m6", "cancel-h6", 64.31), data=inputs.CancelData("h6")),
        merge("m7", "m8", at=65),
        inputs.ReservationCancel(  # passed on
            **head("m7", "cancel-h71", 65.001), data=inputs.CancelData("h71")
        ),
        inputs.ReservationCancel(  # one that came with the other account
            **head("m8", "cancel-h72", 65.001), data=inputs.CancelData("h72")
        ),
        purchase("m7", "o70", at=63.5),  # passed on; releases the return
        purchase("m7", "o71", at=66),  # passed on
        updated("m7", "moves-m7", at=66, region="north"),  # passed on
        referral("m7", "m1", at=66),  # passed on
    ],
    [
        standing(inputs.AccountFreeze, "m8", at=67),
        standing(inputs.AccountUnfreeze, "m8", at=68),
        standing(inputs.AccountClose, "m4", at=69),
        returned("m8", "nowhere", "r80", at=69),  # waits
        inputs.TierOverride(
            **head("m6", "tier-1", 69),
            data=inputs.TierData("gold", day(200), "anna", "a good customer"),
        ),
        inputs.PointsRedeem(**head("m6", "redeem-1", 70), data=inputs.RedeemData("red-1", 7)),
        reserve("m6", "h7", at=71),
        inputs.ReservationConfirm(
            **head("m6", "confirm-h7", 71.001), data=inputs.ConfirmData("h7")
        ),
        inputs.RewardRevoked(
            **head("m1", "9:10:0", 71), data=inputs.RevokeEffectData("referral", "m2", "o1")
        ),
    ],
]
"""What the story of the crash tests leaves out: every other kind of input."""


KEYED = (
    purchase("m1", "o92", at=103),
    purchase(None, "anonymous-2", at=103),
    purchase(None, "anonymous-3", at=103),
    purchase("m7", "o73", at=103),  # passed on
    returned("m8", "nowhere", "r81", at=103),  # waits
)
"""What senders with an idempotency key send."""


@pytest.fixture(scope="session")
def program() -> Program:
    """The program of the ledger's tests, with all that members can do."""
    loaded = load_program(PROGRAM.read_text(encoding="utf-8") + MORE, PROGRAM.name)
    review = EarnRule("review", Award(fixed=20), on=OnActivity("review"), activation="immediately")
    return replace(loaded, earn=(*loaded.earn, review))


async def _write(url: str, program: Program) -> None:
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    ledger = await Ledger.open(settings)
    try:
        await ledger.load_codes("cinema", CODES)
        for batch, source in BATCHES:
            await ledger.handle(batch, source)
        await ledger.handle(direct(*DIRECT))
        for events in LATER:
            outcomes = await ledger.handle(direct(*events))
            assert "dead_lettered" not in [outcome.kind for outcome in outcomes], outcomes
        newer = replace(
            program,
            effective_from=day(100),
            segments=(*program.segments, *_southerners(program)),
        )
        await ledger.publish_program(newer)
        await ledger.record_bounds(
            RfmBoundsSet(
                occurred_at=instant(90),
                as_of=instant(90),
                members=5,
                recency_days=(5, 20, 40, 60),
                frequency=(1, 1, 2, 2),
                monetary=(100, 200, 300, 400),
            )
        )
        await ledger.handle(direct(purchase("m1", "o90", at=101), purchase("m3", "o91", at=102)))
        outcomes = await ledger.handle([asked(event, keyed=True) for event in KEYED])
        assert [outcome.kind for outcome in outcomes] == ["applied"] * 4 + ["waiting"]
    finally:
        await ledger.close()


def _southerners(program: Program) -> list[Any]:
    northerners = program.segments[0]
    return [replace(northerners, id="southerners", when=replace(northerners.when, region="south"))]


@pytest.fixture(scope="session")
def written(server: str, admin: psycopg.Connection[Any], program: Program) -> Iterator[str]:
    """The name of a database with such a ledger."""
    with new_ledger(server, admin, program, SHARDS, "audited") as name:
        asyncio.run(_write(server + name, program))
        Runner(server + name).run(until_caught_up=True)
        yield name


@pytest.fixture(scope="module")
def kept(server: str, admin: psycopg.Connection[Any], written: str) -> Iterator[str]:
    """The URL of a copy of the ledger that keeps, in a schema beside, what it was."""
    with copied(server, admin, written) as made:
        with psycopg.connect(made, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA kept")
            for table in DAMAGED:
                connection.execute(f"CREATE TABLE kept.{table.split('.')[1]} AS TABLE {table}")
        yield made


@pytest.fixture
def url(kept: str) -> Iterator[str]:
    """The URL of a ledger to do with as a test likes: it is put back as it was."""
    yield kept
    with psycopg.connect(kept) as connection:
        connection.execute("SET synchronous_commit = off")
        for table in DAMAGED:
            connection.execute(f"DELETE FROM {table}")
            connection.execute(f"INSERT INTO {table} TABLE kept.{table.split('.')[1]}")


@pytest.fixture
def owner(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the server's superuser, who can change everything."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        yield connection
