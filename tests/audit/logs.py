"""A ledger's log with every kind of event in it, and the hands of somebody who changes it."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import psycopg
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.chain import COLUMNS
from ledger.core.program.form import Program, Segment, SegmentWhen
from ledger.core.program.load import load_program
from ledger.received import tick
from ledger.settings import load_settings
from schemas import inputs
from schemas.decode import decode_record
from schemas.inputs import InputEvent
from streams.effects import encode_effect
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import (
    PARTITIONS,
    SHARDS,
    activity,
    claim,
    day,
    direct,
    erased,
    head,
    purchase,
    referral,
    returned,
    updated,
)
from tests.ledger.opened import instant, opened
from tests.ledger.pairs import merge, standing, transfer
from tests.ledger.test_stored_bytes import BATCH, history

RULES = """
  - id: review
    on: {activity: review}
    award: {fixed: 15}
  - id: regulars
    when: {tag: vip}
    award: {fixed: 3}
    budget: spring
"""

BEYOND = """
transfers: {}
closing: {notice: P30D}
budgets: [{id: spring, points: 7}]
charities: [{id: forest}]
rewards: [{id: mug, points: 20, kind: gift, stock: 1}]
"""

EFFECTS_MAX = 100

HISTORY = 240
"""Of the random inputs: enough for some of each kind, and twice a hundred for each copy to fold."""


def program_with_everything() -> Program:
    """The tests' program with what the other commands need."""
    text = PROGRAM.read_text(encoding="utf-8").replace("\ntiers:", RULES + "tiers:", 1)
    return load_program(text + BEYOND, "everything.yaml")


def next_version(program: Program) -> Program:
    """A version that asks something new of profiles."""
    segments = (Segment("north", SegmentWhen(region="north")),)
    return replace(program, effective_from=day(300), segments=segments)


def story() -> list[InputEvent]:
    """Each command, and what goes with it."""
    at = 250.0

    def command(kind: type, member: str, name: str, data: Any, at: float = at) -> InputEvent:
        event: InputEvent = kind(**head(member, name, at), data=data)
        return event

    reserve, confirm, cancel = (
        inputs.PointsReserve,
        inputs.ReservationConfirm,
        inputs.ReservationCancel,
    )
    return [
        updated("a", "profile-a", 1, tags=("vip",), region="north"),
        *(purchase("a", f"a{n}", n, 120_000, promo_codes=("x",)) for n in range(2, 6)),
        purchase("b", "b1", 2, 500_000),
        activity("b", "review", "r1", at=12),
        activity("b", "nap", "r2", at=12),
        referral("c", "b", 1),
        purchase("c", "c1", 13, 9_000),
        command(inputs.PointsAdjust, "b", "give", inputs.AdjustData(500, "sorry", "ann"), 20),
        command(
            inputs.PointsAdjust, "b", "until", inputs.AdjustData(50, "sorry", "ann", day(40)), 20
        ),
        command(
            inputs.PointsAdjust, "c", "owe", inputs.AdjustData(-500, "cheat", "ann", None, True), 21
        ),
        command(inputs.PointsAdjust, "c", "no", inputs.AdjustData(-500, "cheat", "ann"), 21),
        command(reserve, "b", "h1", inputs.ReserveData("h1", 100), 22),
        command(reserve, "b", "h2", inputs.ReserveData("h2", 40, 7_200), 22),
        command(reserve, "b", "h3", inputs.ReserveData("h3", 10), 22),
        command(confirm, "b", "c-h1", inputs.ConfirmData("h1", 70, "b2"), 22.01),
        purchase("b", "b2", 22.02, 30_000, redemption_id="h1"),
        command(cancel, "b", "x-h2", inputs.CancelData("h2"), 22.03),
        returned("b", "b2", "back-b2", 23),
        command(inputs.PointsRedeem, "b", "h4", inputs.RedeemData("h4", 30, "b3"), 24),
        command(inputs.PointsDonate, "b", "d1", inputs.DonateData("forest", 5), 24),
        claim("b", "m1", "mug", 24),
        claim("b", "m2", "mug", 24),
        command(
            inputs.TierOverride, "c", "t1", inputs.TierData("gold", day(60), "ann", "guest"), 25
        ),
        transfer("b", "c", "t1", 26, 60),
        transfer("b", "nobody", "t2", 26, 60),
        returned("c", "c1", "back-c1", 27),
        command(inputs.PointsRedeem, "a", "h7", inputs.RedeemData("h7", 2_000), 27),
        command(reserve, "a", "h8", inputs.ReserveData("h8", 900), 27.5),
        command(confirm, "a", "c-h8", inputs.ConfirmData("h8", 800), 27.51),
        standing(inputs.AccountFreeze, "a", 28),
        command(reserve, "a", "h5", inputs.ReserveData("h5", 1), 28),
        standing(inputs.AccountUnfreeze, "a", 29),
        merge("c", "b", 30),
        purchase("c", "c2", 31, 4_000),
        command(reserve, "c", "h6", inputs.ReserveData("h6", 1), 31),
        command(confirm, "c", "c-h6", inputs.ConfirmData("h6"), 31.01),
        returned("b", "b9", "early", 32),
        purchase("b", "b9", 31.5, 8_000),
        standing(inputs.AccountClose, "e", 33),
        purchase("e", "e1", 34),
        erased("f", 35),
        updated("f", "too-late", 36, tags=("vip",)),
    ]


async def write(url: str) -> None:
    """Fill the ledger in the database with random members, the story, and time."""
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    async with opened(settings) as ledger:
        for event in story():
            await ledger.handle(direct(event))
            await _carry(ledger)
        items = history()[:HISTORY]
        for start in range(0, len(items), BATCH):
            await ledger.handle(items[start : start + BATCH])
            await _carry(ledger)
        await ledger.publish_program(next_version(program_with_everything()))
        for member in ("a", "b", "m1", "m2"):
            await ledger.handle([tick(member, instant(100))])
        await ledger.handle(direct(*(purchase("a", f"late{n}", 310 + n) for n in range(3))))


async def _carry(ledger: Ledger) -> None:
    """Every effect reaches its target."""
    for shard in range(SHARDS):
        for pending in await ledger.pending_effects(shard, EFFECTS_MAX):
            (value,) = direct(decode_record(encode_effect(*pending)))
            await ledger.handle([value])
            await ledger.mark_effects_published(shard, pending[1])


def change(
    owner: psycopg.Connection[Any], shard: int, position: int, edit: Callable[[bytes], bytes]
) -> None:
    """Change a stored payload, and make the hash chain anew from there on."""
    row = owner.execute(
        "SELECT payload FROM ledger.events WHERE (shard, position) = (%s, %s)", [shard, position]
    ).fetchone()
    assert row is not None
    payload = edit(bytes(row[0]))
    assert payload != bytes(row[0])
    with owner.transaction():
        owner.execute(
            "UPDATE ledger.events SET payload = %s WHERE (shard, position) = (%s, %s)",
            [payload, shard, position],
        )
        rehash(owner, shard, position)


def rehash(owner: psycopg.Connection[Any], shard: int, position: int) -> None:
    """The chain from a position on, as the ledger would have made it."""
    before = owner.execute(
        "SELECT hash FROM ledger.events WHERE (shard, position) = (%s, %s)", [shard, position - 1]
    ).fetchone()
    assert before is not None, "change another than the first"
    link = bytes(before[0])
    query = (
        f"COPY (SELECT {', '.join(COLUMNS)} FROM ledger.events WHERE shard = {shard}"
        f" AND position >= {position} ORDER BY position) TO STDOUT (FORMAT BINARY)"
    )
    with owner.cursor().copy(query) as copy:
        rows = b"".join(bytes(part) for part in copy)
    place, number, links = 19, position, []
    while int.from_bytes(rows[place : place + 2], "big", signed=True) > 0:
        end = place + 2
        for _ in COLUMNS:
            end += 4 + max(0, int.from_bytes(rows[end : end + 4], "big", signed=True))
        link = sha256(link + rows[place + 2 : end]).digest()
        links.append((link, shard, number))
        place, number = end, number + 1
    with owner.cursor() as cursor:
        cursor.executemany(
            "UPDATE ledger.events SET hash = %s WHERE (shard, position) = (%s, %s)", links
        )
        cursor.execute("UPDATE ledger.heads SET hash = %s WHERE shard = %s", [link, shard])
