"""What happened to some members, decided by the real ledger once, ready to be told of many others.

A year of purchases of one to three lines, with returns, redemptions, reservations and surveys, goes
through `Ledger.handle()` into a database of its own. What it stored is read back: each event's
bytes, and the texts behind its dedupe row. Ids of members, orders and inputs all hold the same mark
of seven letters, and a history is told of another member by putting seven digits in its place: so
lengths stay, and nothing else of an event says whose it is.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from random import Random

import msgspec
import psycopg
from msgspec import Struct
from psycopg.rows import TupleRow
from pydantic import SecretStr

from ledger.accounts import account_id_of
from ledger.application import Ledger
from ledger.dedupe import HASH_BYTES
from ledger.received import INPUTS_MAX, Received, received
from ledger.settings import Settings
from ledger.sharding import shard_of
from schemas import normal
from schemas.decode import instant_of
from schemas.fields import Instant
from schemas.inputs import (
    ConfirmData,
    InputEvent,
    PointsRedeem,
    PointsReserve,
    PurchaseCompleted,
    PurchaseData,
    PurchaseLine,
    PurchaseReturned,
    RedeemData,
    ReservationConfirm,
    ReserveData,
    ReturnData,
    SurveyCompleted,
    SurveyData,
)

HISTORIES = 1_000
"""Different histories: a thousand members of a million live through each of them."""

MARK_LENGTH = 7
"""Letters of a mark, and digits of a member's number: enough for ten million."""

SOURCE = "/benchmarks"

DAYS = (6, 34)
"""Between two visits, at least and at most."""

FIRST_DAY = datetime(2017, 1, 5, tzinfo=UTC)
"""After the demo's program came into force."""

OPENING_DAYS = 60
"""Over so many days members come for the first time."""

RETURNS, REDEMPTIONS, RESERVATIONS, SURVEYS = 0.06, 0.08, 0.04, 0.3
"""How often: of purchases the first three, of members the last."""

VISITS_MORE = 4
"""Visits beyond the events that are wanted on average: a visit makes nearly two events, and nobody
has more than half as many again."""

POINTS_SPENT = 100
"""The least that the demo's program lets redeem: who has less is refused, which is an event too."""


class Happened(Struct, frozen=True, array_like=True):
    """An event of a history. `history`: its number; `key` and `content`: the texts whose hashes are
    the dedupe row of the input that it answers, empty where it answers none. All of them and the
    payload hold the history's mark."""

    occurred_at: Instant
    history: int
    version: int
    type_name: str
    effects: int
    payload: bytes
    key: bytes
    content: bytes


class Histories(Struct, frozen=True):
    """What happened, in the order of time. `lengths`: events of each history."""

    events: tuple[Happened, ...]
    lengths: tuple[int, ...]


def mark(history: int) -> str:
    """What stands for a member's number in the ids of a history."""
    return f"T{history:0{MARK_LENGTH - 1}}"


def member_of(number: str) -> str:
    """The id of the member with this number (or mark)."""
    return f"m-{number}"


def decide(database_url: str, count: int, events_each: int) -> Histories:
    """Let the empty ledger of the database decide `count` histories, of so many events each on
    average. What it stored for every one of them is read back and checked against its inputs."""
    inputs = [list(_inputs(history, events_each)) for history in range(count)]
    asyncio.run(_handle(database_url, inputs))
    events: list[Happened] = []
    lengths: list[int] = []
    with psycopg.connect(database_url) as connection:
        ledger = connection.execute("SELECT shards, program_id FROM ledger.ledger").fetchone()
        assert ledger is not None
        for history, given in enumerate(inputs):
            wanted = events_each * (history + 1) - len(events)
            wanted = max(1, wanted + _more_or_less(history, events_each))
            if history == count - 1:
                wanted = max(1, events_each * count - len(events))
            told = _told(connection, ledger, history, given, wanted)
            lengths.append(len(told))
            events.extend(told)
    events.sort(key=lambda one: (one.occurred_at, one.history, one.version))
    return Histories(tuple(events), tuple(lengths))


def _more_or_less(history: int, events_each: int) -> int:
    """Members differ in how often they come: half as much as the average, or half as much again."""
    return Random(f"{history}/length").randint(-(events_each // 2), events_each // 2)


def _inputs(history: int, events_each: int) -> Iterator[InputEvent]:
    """All that the member does, in order: more than the events that are wanted need."""
    random = Random(history)
    name = mark(history)
    member = member_of(name)
    at = FIRST_DAY + timedelta(seconds=random.randrange(OPENING_DAYS * 86_400))
    if random.random() < SURVEYS:
        yield SurveyCompleted(
            specversion="1.0",
            id=f"s-{name}",
            source=SOURCE,
            time=at,
            subject=member,
            data=SurveyData("household-profile", f"c-{name}"),
        )
    for visit in range(events_each + VISITS_MORE):
        at += timedelta(seconds=random.randrange(DAYS[0] * 86_400, DAYS[1] * 86_400))
        yield _purchase(random, member, f"{name}-{visit}", at)
        chance = random.random()
        if chance < RETURNS:
            yield _return(member, f"{name}-{visit}", at + timedelta(days=2))
        elif chance < RETURNS + REDEMPTIONS:
            yield _redemption(member, f"{name}-{visit}", at + timedelta(hours=1))
        elif chance < RETURNS + REDEMPTIONS + RESERVATIONS:
            yield from _reservation(member, f"{name}-{visit}", at + timedelta(hours=1))


def _purchase(random: Random, member: str, order: str, at: datetime) -> PurchaseCompleted:
    lines = tuple(
        PurchaseLine(
            str(line),
            str(random.randrange(100_000, 10_000_000)),
            random.randrange(100, 5_000),
            Decimal(1),
            "PRODUCE" if line == 2 else "GROCERY",
        )
        for line in range(1, random.randint(1, 3) + 1)
    )
    return PurchaseCompleted(
        specversion="1.0",
        id=f"p-{order}",
        source=SOURCE,
        time=at,
        subject=member,
        data=PurchaseData(order, str(random.randrange(300, 330)), "store", "USD", lines),
    )


def _return(member: str, order: str, at: datetime) -> PurchaseReturned:
    return PurchaseReturned(
        specversion="1.0",
        id=f"r-{order}",
        source=SOURCE,
        time=at,
        subject=member,
        data=ReturnData(order, f"r-{order}"),
    )


def _redemption(member: str, order: str, at: datetime) -> PointsRedeem:
    return PointsRedeem(
        specversion="1.0",
        id=f"d-{order}",
        source=SOURCE,
        time=at,
        subject=member,
        data=RedeemData(f"d-{order}", POINTS_SPENT),
    )


def _reservation(member: str, order: str, at: datetime) -> Iterator[InputEvent]:
    yield PointsReserve(
        specversion="1.0",
        id=f"h-{order}",
        source=SOURCE,
        time=at,
        subject=member,
        data=ReserveData(f"h-{order}", POINTS_SPENT),
    )
    yield ReservationConfirm(
        specversion="1.0",
        id=f"f-{order}",
        source=SOURCE,
        time=at + timedelta(minutes=5),
        subject=member,
        data=ConfirmData(f"h-{order}"),
    )


async def _handle(database_url: str, inputs: list[list[InputEvent]]) -> None:
    """Every first input, then every second one, and so on: a call holds one of each member."""
    ledger = await Ledger.open(Settings(database_url=SecretStr(database_url)))
    try:
        for turn in range(max(map(len, inputs))):
            some = [received(own[turn]) for own in inputs if turn < len(own)]
            for start in range(0, len(some), INPUTS_MAX):
                await _taken(ledger, some[start : start + INPUTS_MAX])
    finally:
        await ledger.close()


async def _taken(ledger: Ledger, some: list[Received]) -> None:
    for outcome in await ledger.handle(some):
        # A confirmation of points that nobody had is refused: that is recorded as well.
        assert outcome.kind in ("applied", "refused"), outcome


_EVENTS = """
SELECT e.occurred_at, e.version, e.type, e.effects, e.payload, i.key, i.content
FROM ledger.events e LEFT JOIN ledger.inputs i ON i.shard = e.shard AND i.position = e.position
WHERE e.shard = %s AND e.account_id = %s ORDER BY e.version
"""


def _told(
    connection: psycopg.Connection[TupleRow],
    ledger: tuple[int, str],
    history: int,
    given: list[InputEvent],
    wanted: int,
) -> list[Happened]:
    """The first events of the history that are a whole number of decisions and at least `wanted`,
    each with the input that it answers."""
    coming = iter(given)
    told: list[Happened] = []
    shards, program_id = ledger
    member = member_of(mark(history))
    place = [shard_of(member, shards), account_id_of(program_id, member)]
    found = connection.execute(_EVENTS, place, binary=True).fetchall()
    for at, version, type_name, effects, payload, key, content in found:
        key_text = content_text = b""
        if key is not None:
            event = next(coming)
            key_text = normal.normal_key(event)
            content_text = normal.normal_content(event, instant_of(event))
            assert sha256(key_text).digest()[:HASH_BYTES] == key, event
            assert sha256(content_text).digest()[:HASH_BYTES] == content, event
        told.append(
            Happened(
                round(at.timestamp() * 1_000_000),
                history,
                version,
                type_name,
                effects,
                bytes(payload),
                key_text,
                content_text,
            )
        )
        if key is not None and len(told) >= wanted:
            break
    return told


def encode(histories: Histories) -> bytes:
    """For a file."""
    return msgspec.msgpack.encode(histories)


def decode(data: bytes) -> Histories:
    """As `encode` wrote it."""
    return msgspec.msgpack.decode(data, type=Histories)
