"""The commands, on a ledger written through its own door."""

import asyncio
import csv
import io
import json
from collections.abc import Callable

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from cli import balances, dead_letters, history, members, projections
from ledger.application import Ledger
from ledger.errors import LedgerError
from ledger.received import RecordRef, received, undecodable
from ledger.settings import load_settings
from schemas.inputs import InputEvent
from tests.projections.conftest import Shop
from tests.projections.log_writer import SHARDS, day, give_back, purchase, survey

Points = Callable[..., Result]


@pytest.fixture
def points(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Points:
    """Run a `points` command on the test's ledger."""
    monkeypatch.setenv("POINTS_DATABASE_URL", shop.url)
    monkeypatch.setenv("POINTS_SHARDS", str(SHARDS))
    monkeypatch.setenv("POINTS_PARTITIONS", "2")
    app = typer.Typer()
    balances.register(app)
    members.register(app)
    history.register(app)
    projections.register(app)
    dead_letters.register(app)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments, standalone_mode=False)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def write(shop: Shop) -> None:
    """Three members' inputs through the ledger's door."""
    inputs: list[tuple[str, InputEvent]] = [
        ("anna", purchase("a1", day(1), [60_000], "FRESH")),
        ("anna", purchase("a2", day(2), [7_000])),
        ("anna", purchase("a3", day(3), [7_000])),
        ("anna", give_back("a2", day(4))),
        ("bert", purchase("b1", day(30), [500])),
        ("cleo", survey("cleo", day(31))),
    ]
    settings = load_settings({}, database_url=shop.url, shards=SHARDS, partitions=2)

    async def handle() -> None:
        ledger = await Ledger.open(settings)
        try:
            for member, event in inputs:
                outcome = await ledger.handle([received(replace(event, subject=member))])
                assert [one.kind for one in outcome] == ["applied"]
        finally:
            await ledger.close()

    asyncio.run(handle())


def test_from_the_door_to_the_commands(shop: Shop, points: Points) -> None:
    write(shop)
    status = json.loads(points("projections", "status", "--json").stdout)
    assert status["projections"] == []
    points("projections", "run", "--until-caught-up")
    status = json.loads(points("projections", "status", "--json").stdout)
    assert status["caught_up"] is True
    assert [one["projection"] for one in status["projections"]] == [
        "balances",
        "kpis",
        "segments",
        "tiers",
    ]
    assert status["segments_without_rfm_bounds"] == ["champions"]

    anna = json.loads(points("balance", "anna", "--at", "2017-01-20T00:00:00Z", "--json").stdout)
    assert anna["at"] == "2017-01-20T00:00:00Z"
    assert (anna["available"], anna["pending"], anna["debt"]) == (1320, 0, 0)
    assert anna["tier"] == "silver"
    assert sum(lot["available"] for lot in anna["lots"]) == 1320
    assert anna["tier_progress"]["missing"] == 33_000
    assert "available" in points("balance", "anna").stdout

    table = points("balances", "--at", "2017-02-10T00:00:00Z", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert list(rows[0]) == [
        "member_id",
        "available",
        "pending",
        "reserved",
        "expired",
        "granted",
        "debt",
        "tier",
    ]
    assert [row["member_id"] for row in rows] == ["anna", "bert", "cleo"]
    as_json = json.loads(points("balances", "--at", "2017-02-10T00:00:00Z", "--json").stdout)
    assert [[str(value) for value in row.values()] for row in as_json] == [
        list(row.values()) for row in rows
    ]
    assert json.loads(points("balances", "--at", "2016-02-10T00:00:00Z", "--json").stdout) == []


def test_history_in_words(shop: Shop, points: Points) -> None:
    write(shop)
    points("projections", "run", "--until-caught-up")
    text = points("history", "anna").stdout
    assert "bought for $600.00 in store 7 (order a1), tier none: +1,250 points" in text
    assert "tier none → silver at 2 January 2017, 00:00" in text
    assert "the limit of times per week was used up" in text
    assert "returned $70.00 of order a2" in text
    shown = json.loads(points("history", "anna", "--limit", "1", "--json").stdout)
    assert shown["earlier"] == 3
    assert [entry["type"] for entry in shown["entries"]] == ["PurchaseReturned"]


def test_segments_and_their_bounds(shop: Shop, points: Points) -> None:
    write(shop)
    points("projections", "run", "--until-caught-up")
    shop.log.take("dora", survey("dora", day(40)))
    with pytest.raises(LedgerError) as caught:
        points("segments", "refresh")
    assert caught.value.code == "projections_behind"
    points("projections", "run", "--until-caught-up")
    shown = json.loads(points("segments", "anna", "--at", "2017-01-20T00:00:00Z", "--json").stdout)
    assert shown["segments"] == ["fresh-buyer", "regular", "rich", "spender"]
    assert shown["values"]["recency_score"] is None
    refreshed = json.loads(
        points("segments", "refresh", "--at", "2017-02-15T00:00:00Z", "--json").stdout
    )
    assert refreshed["members"] == 2
    points("projections", "run", "--until-caught-up")
    status = json.loads(points("projections", "status", "--json").stdout)
    assert status["segments_without_rfm_bounds"] == []
    shown = json.loads(points("segments", "show", "anna", "--json").stdout)
    assert shown["values"]["recency_score"] is not None
    lapsed = [i for i in shown["intervals"] if i["segment"] == "lapsed"]
    assert lapsed == [{"segment": "lapsed", "entered_at": "2017-03-05T00:00:00Z", "left_at": None}]
    assert "lapsed: from 2017-03-05" in points("segments", "anna").stdout
    assert "all the same, exchanged" in points("projections", "rebuild", "segments").stdout
    told = json.loads(points("projections", "rebuild", "segments", "--json").stdout)
    assert (told["differences"], told["rows_compared"] > 0) == (0, True)
    assert "is read again" in points("projections", "restore", "segments").stdout
    assert "dropped" in points("projections", "drop-old", "segments").stdout
    assert "nothing was kept" in points("projections", "drop-old", "segments").stdout
    assert (
        json.loads(points("segments", "anna", "--json").stdout)["intervals"] == (shown["intervals"])
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("balance", "nobody"), "unknown_member"),
        (("history", "nobody"), "unknown_member"),
        (("segments", "nobody"), "unknown_member"),
        (("balance", "anna", "--at", "yesterday"), "bad_time"),
        (("balances", "--at", "2017-01-01"), "bad_time"),
        (("segments", "refresh"), "no_purchases"),
        (("segments", "refresh", "--at", "2199-01-01T00:00:00Z"), "future_moment"),
        (("dead-letters", "show", "5"), "no_dead_letter"),
        (("dead-letters", "retry", "5"), "no_dead_letter"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    points: Points, arguments: tuple[str, ...], code: str
) -> None:
    with pytest.raises(LedgerError) as caught:
        points(*arguments)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    assert caught.value.message.endswith(".")


def test_wrong_usage_is_told_as_such(points: Points) -> None:
    for arguments in (("projections", "rebuild", "x"), ("balances", "--csv", "--json")):
        with pytest.raises(typer.BadParameter):
            points(*arguments)


def test_no_ledger_and_no_database_are_told(
    points: Points, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for database, code in (("postgres", "no_ledger"), ("nowhere", "no_connection")):
        monkeypatch.setenv("POINTS_DATABASE_URL", f"{shop.url.rpartition('/')[0]}/{database}")
        with pytest.raises(LedgerError) as caught:
            points("balances")
        assert caught.value.code == code


def test_history_as_of_a_moment(shop: Shop, points: Points) -> None:
    """The entries up to a moment lead to the balance of that moment, recorded or not."""
    write(shop)
    points("projections", "run", "--until-caught-up")
    for at in ("2017-01-03T00:00:00Z", "2017-02-10T00:00:00Z", "2019-01-01T00:00:00Z"):
        entries = json.loads(points("history", "anna", "--at", at, "--json").stdout)["entries"]
        assert all(entry["occurred_at"] <= at for entry in entries)
    latest = json.loads(points("history", "anna", "--at", at, "--json").stdout)
    assert latest["entries"][-1]["type"] == "AccountSettled"
    assert latest["entries"][-1]["position"] is None, "no event records it yet"
    before = json.loads(points("history", "anna", "--json").stdout)
    assert len(latest["entries"]) == len(before["entries"]) + 1
    with pytest.raises(LedgerError) as caught:
        points("history", "anna", "--at", "2016-01-01T00:00:00Z")
    assert caught.value.code == "unknown_member"


def test_dead_letters_are_counted_and_retried(shop: Shop, points: Points) -> None:
    settings = load_settings({}, database_url=shop.url, shards=SHARDS, partitions=2)

    async def spoil() -> None:
        ledger = await Ledger.open(settings)
        try:
            for n in range(3):
                record = RecordRef("t", 0, n, None, b"no", (), None)
                item = undecodable(record, "not_json", "$", "it is not JSON")
                (outcome,) = await ledger.handle([item])
                assert outcome.kind == "dead_lettered"
        finally:
            await ledger.close()

    asyncio.run(spoil())
    assert (
        "1 shown of 3 open; more with --after 1"
        in points("dead-letters", "list", "--limit", "1").stdout
    )
    again = points("dead-letters", "retry", "1", "2")
    assert again.return_value == 1
    first, second, total = again.stdout.splitlines()
    assert first.split()[:2] == ["1", "dead_lettered:"]
    assert second.split()[:2] == ["2", "dead_lettered:"]
    assert total == "2 retried, 2 dead-lettered again"
    assert points("dead-letters", "list").stdout.splitlines()[-1] == "3 open"
