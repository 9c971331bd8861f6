"""A whole ledger decided again: equal as it was written; each changed decision is found and named.

The log holds what random members did, and each command and effect at least once. A change is made
as somebody would who may write to the database and knows how: the points changed wherever they
stand, the postings still in balance, the hash chain made anew.
"""

import asyncio
import json
import re
from typing import Any

import msgspec
import psycopg
import pytest
from typer.testing import CliRunner

from audit import redecide
from cli.app import app
from ledger.application import Ledger
from ledger.errors import LedgerError
from ledger.settings import load_settings
from schemas import decisions
from tests.audit.logs import change
from tests.ledger.events import PARTITIONS, SHARDS
from tests.ledger.opened import check_log

NOT_DECIDED = {"AccountSettled", "InputForwarded"}
"""Counted otherwise: settled with the input that led to it, and passed on."""

SYSTEM = {"LedgerCreated", "ProgramPublished", "RfmBoundsSet"}


def verifies(url: str) -> None:
    """The hash chain says nothing of the change."""

    async def check() -> None:
        ledger = await Ledger.open(
            load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
        )
        try:
            await check_log(ledger)
        finally:
            await ledger.close()

    asyncio.run(check())


def place_of(owner: psycopg.Connection[Any], kind: str, has: str = "") -> tuple[int, int, str]:
    """Shard, position and member of an event of a kind, not the first of its shard."""
    row: tuple[int, int, str] | None = owner.execute(
        "SELECT shard, position, member_id FROM ledger.events WHERE type = %s AND position > 1"
        " AND position(%s::bytea in payload) > 0 ORDER BY shard, position LIMIT 1",
        [kind, has.encode()],
    ).fetchone()
    assert row is not None
    return row


def test_every_decision_of_a_ledger_is_made_again(url: str, owner: psycopg.Connection[Any]) -> None:
    done: list[tuple[int, int]] = []
    report = redecide.run(url, jobs=2, progress=lambda *now: done.append(now))
    assert report.tally.differences == []
    assert report.equal
    row = owner.execute("SELECT sum(position)::bigint FROM ledger.heads WHERE shard >= 0")
    (events,) = row.fetchone() or (0,)
    assert report.tally.events == events
    assert done[-1] == (events, events)
    stored = dict(owner.execute("SELECT type, count(*) FROM ledger.events GROUP BY 1").fetchall())
    kinds = {kind.__name__ for kind in decisions.LogEvent.__args__}
    assert stored.keys() == kinds - {"RfmBoundsSet", "RestoreDeclared"}, "an event of every kind"
    assert report.tally.forwarded == stored["InputForwarded"]
    assert report.tally.inputs.keys() == stored.keys() - NOT_DECIDED - SYSTEM


def test_one_process_finds_the_same(url: str) -> None:
    alone, together = redecide.run(url, jobs=1), redecide.run(url, jobs=2)
    assert alone == together
    assert redecide.run(url, jobs=1, shards=[2]).shards[2] == alone.shards[2]


def test_points_that_nobody_earned(url: str, owner: psycopg.Connection[Any]) -> None:
    """87 points more, everywhere in the event."""
    shard, position, member = place_of(owner, "PurchaseRewarded", '"rule":"base"')

    def richer(payload: bytes) -> bytes:
        event = msgspec.json.decode(payload, type=decisions.PurchaseRewarded)
        (award,) = event.awards[:1]
        lines = (decisions.LineShare(award.lines[0].line, award.points + 87),)
        new = msgspec.structs.replace(
            award, value=award.value + 87, points=award.points + 87, lines=lines
        )
        text = payload.replace(msgspec.json.encode(award), msgspec.json.encode(new))
        for sign in ("", "-"):
            old, more = f",{sign}{award.points},", f",{sign}{award.points + 87},"
            text = text.replace(old.encode(), more.encode())
        return text

    change(owner, shard, position, richer)
    verifies(url)
    report = redecide.run(url, jobs=1)
    assert not report.equal
    first = report.shards[shard].differences[0]
    assert (first.shard, first.position, first.member_id) == (shard, position, member)
    assert first.type == "PurchaseRewarded"
    assert (first.field, first.follows) == ("awards[0].value", 0)
    assert int(first.stored) == int(first.decided) + 87
    assert {one.member_id for one in report.tally.differences} == {member}


@pytest.mark.parametrize(
    ("kind", "old", "new", "field"),
    [
        ("PurchaseRewarded", rb'"amount":500000', rb'"amount":400000', "postings[0][1]"),
        ("PurchaseReturned", rb'"taken":\d+', rb'"taken":0', "clawbacks"),
        ("AccountSettled", rb'"pending",', rb'"revoked",', "postings"),
        ("RewardReceived", rb'"kind":"referral"', rb'"kind":"present"', "kind"),
        ("PointsReceived", rb'"sender":"b"', rb'"sender":"c"', "cause"),
        ("AccountAbsorbed", rb'"next_lot":', rb'"next_lot":1', "next_lot"),
        ("InputRefused", rb'"code":"\w+"', rb'"code":"because"', "code"),
        ("TierOverridden", rb'"to":"gold"|"none","gold"', rb'"none","none"', "tier_changes"),
        ("RewardClaimed", rb'"number":1', rb'"number":2', "number"),
        ("InputForwarded", rb'"program":"\w+"', rb'"program":"x"', "program"),
    ],
)
def test_a_changed_decision_is_named(
    url: str, owner: psycopg.Connection[Any], kind: str, old: bytes, new: bytes, field: str
) -> None:
    rows = owner.execute(
        "SELECT shard, position, payload FROM ledger.events WHERE type = %s AND position > 1"
        " ORDER BY shard, position",
        [kind],
    ).fetchall()
    shard, position = next(row[:2] for row in rows if re.search(old, row[2]))
    change(owner, shard, position, lambda payload: re.sub(old, new, payload, count=1))
    report = redecide.run(url, jobs=1)
    (found,) = (
        one for one in report.tally.differences if (one.shard, one.position) == (shard, position)
    )
    assert found.type == kind
    assert found.field.startswith(field)


def test_an_event_that_cannot_be_read(url: str, owner: psycopg.Connection[Any]) -> None:
    shard, position, member = place_of(owner, "SurveyRewarded")
    change(owner, shard, position, lambda payload: payload[:-2])
    report = redecide.run(url, jobs=1)
    (found,) = report.tally.differences
    assert (found.shard, found.position, found.member_id) == (shard, position, member)
    assert found.decided == "an event that can be read"
    row = owner.execute("SELECT sum(position)::bigint FROM ledger.heads WHERE shard >= 0")
    (events,) = row.fetchone() or (0,)
    assert report.tally.events + report.tally.unfolded + 1 == events


def test_a_shard_that_is_not_there(url: str) -> None:
    with pytest.raises(LedgerError, match="there is no shard 9: name one of 0 to 3"):
        redecide.run(url, shards=[9])


def test_the_command(
    url: str, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTS_DATABASE_URL", url)
    monkeypatch.setenv("POINTS_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    told = CliRunner().invoke(app, ["audit", "redecide", "--jobs", "1"])
    assert told.exit_code == 0
    assert "every decision is what its input leads to" in told.stdout
    shard, position, member = place_of(owner, "SurveyRewarded")
    change(owner, shard, position, lambda p: p.replace(b'"completion_id":"', b'"score":7,"x":"', 1))
    change(owner, shard, position, lambda p: p.replace(b'"x":"', b'"completion_id":"', 1))
    change(owner, shard, position, lambda p: p.replace(b'"points":200', b'"points":201', 1))
    told = CliRunner().invoke(app, ["audit", "redecide", "--jobs", "1"])
    assert told.exit_code == 1
    assert f"shard {shard}, position {position}, member {member}: SurveyRewarded" in told.stdout
    told = CliRunner().invoke(app, ["audit", "redecide", "--jobs", "1", "--json"])
    assert told.exit_code == 1
    report = json.loads(told.stdout)
    assert not report["equal"]
    assert report["differences"][0]["position"] == position
