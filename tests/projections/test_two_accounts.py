"""Read models and words of accounts that give points, are merged, frozen or closed."""

import json
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from click.testing import Result
from msgspec.structs import replace

from audit.entries import explain
from ledger.core.calendar import from_instant, to_instant
from ledger.core.program.duration import Duration
from ledger.core.program.form import Closing, Transfers
from projections import queries
from projections.lots import lots_at
from schemas import inputs
from tests.projections.conftest import Shop
from tests.projections.history import catch_up
from tests.projections.log_writer import confirm, day, give_back, program, purchase, reserve, survey
from tests.projections.test_as_of import events_of, expected, folded
from tests.projections.test_commands import points

__all__ = ["points"]

Points = Callable[..., Result]

MEMBERS = ("anna", "bert", "cleo", "dora", "emil")


def head(name: str, at: datetime, subject: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": name, "source": "app", "time": at, "subject": subject}


def transfer(giver: str, to: str, at: datetime, many: int) -> inputs.PointsTransfer:
    """`giver` gives points."""
    data = inputs.TransferData(to, many)
    return inputs.PointsTransfer(**head(f"{giver}-{to}-{at}", at, giver), data=data)


def merge(member: str, into: str, at: datetime) -> inputs.AccountMerge:
    """The account of `member` ends."""
    data = inputs.MergeData(into, "emp-1", "one person")
    return inputs.AccountMerge(**head(f"m-{member}", at, member), data=data)


def standing(kind: Any, member: str, at: datetime) -> Any:
    """Freeze, unfreeze or close."""
    data = inputs.StandingData("emp-1", "as asked")
    return kind(**head(f"{kind.__name__}-{member}", at, member), data=data)


@pytest.fixture
def told(shop: Shop) -> Shop:
    """A history of five members: one gives, one was merged and its orders come back later."""
    log = shop.log
    notice = Closing(Duration(days=30))
    log.publish(replace(program(), effective_from=day(0), transfers=Transfers(), closing=notice))
    for member in MEMBERS:
        log.take(member, survey(member, day(1)))
        log.take(member, purchase(f"{member}-1", day(2), [30_000, 5_000]))
    log.take("anna", purchase("anna-2", day(3), [60_000]))
    log.take("anna", reserve("r1", day(12), 400))
    log.take("anna", confirm("r1", day(12)))
    log.take("anna", reserve("r2", day(20), 20))
    log.take("anna", purchase("anna-3", day(18), [9_000]))
    log.pair("bert", "anna", transfer("bert", "anna", day(19), 150))
    log.pair("bert", "cleo", transfer("bert", "cleo", day(19), 400))
    log.pair("anna", "cleo", merge("anna", "cleo", day(20.01)))
    log.take("cleo", give_back("anna-1", day(30)))
    log.take("bert", give_back("bert-1", day(31)))
    log.take("dora", standing(inputs.AccountFreeze, "dora", day(32)))
    log.take("emil", standing(inputs.AccountClose, "emil", day(33)))
    catch_up(shop.session)
    return shop


def test_every_balance_at_any_moment_is_what_the_postings_say(told: Shop) -> None:
    rng = random.Random(5)
    members = {member: events_of(told, member) for member in MEMBERS}
    accounts = {member: folded(member, events) for member, events in members.items()}
    edges = [p.effective_at for events in members.values() for e in events for p in e.postings]
    moments = [to_instant(day(rng.uniform(2, 400))) for _ in range(20)]
    moments += [edge + offset for edge in set(edges) for offset in (-1, 0)]
    for at in moments:
        transferred = 0
        for member, events in members.items():
            one = queries.balance_of(told.session, member, from_instant(at))
            if one is None:
                continue
            meant = expected(accounts[member], events, at, told.log.programs)
            assert one[1:] == meant, (member, from_instant(at))
            lots = lots_at(member, events, at, told.log.programs)
            assert sum(lot.available for lot in lots) - one.debt == one.available
            assert sum(lot.pending for lot in lots) == one.pending
            assert sum(lot.reserved for lot in lots) == one.reserved
            transferred += sum(
                p.points
                for event in events
                for p in event.postings
                if p.account == "transferred" and p.effective_at <= at
            )
        assert transferred == 0, from_instant(at)


def test_a_merged_account_shows_nothing_and_where_it_went(told: Shop, points: Points) -> None:
    found = {member: queries.account_of(told.session, member) for member in MEMBERS}
    assert found == {
        "anna": ("merged", "cleo"),
        "bert": ("open", None),
        "cleo": ("open", None),
        "dora": ("frozen", None),
        "emil": ("closed", None),
    }
    shown = points("balance", "anna", "--at", "2017-03-01T00:00:00Z").stdout
    assert "merged into cleo" in shown
    as_json = json.loads(points("balance", "anna", "--at", "2017-03-01T00:00:00Z", "--json").stdout)
    assert (as_json["available"], as_json["pending"], as_json["merged_into"]) == (0, 0, "cleo")
    assert "frozen" in points("balance", "dora", "--at", "2017-03-01T00:00:00Z").stdout


def test_a_closed_account_is_forfeited_ahead_of_time(told: Shop) -> None:
    before = queries.balance_of(told.session, "emil", day(62.9))
    after = queries.balance_of(told.session, "emil", day(63))
    assert before is not None
    assert after is not None
    assert before.available > 0
    assert (after.available, after.pending, after.reserved, after.expired) == (0, 0, 0, 0)


def test_who_was_merged_or_closed_is_in_no_segment_from_then_on(told: Shop) -> None:
    for member, end in (("anna", day(20.01)), ("emil", day(33))):
        intervals = queries.memberships(told.session, member)
        assert intervals
        assert all(i.left_at is not None and i.left_at <= end for i in intervals), member


def test_a_return_of_what_another_bought_does_not_make_money_negative(told: Shop) -> None:
    rows = told.session.execute(
        "SELECT member_id, monetary FROM read.values_at(%s) WHERE member_id = ANY(%s)",
        [day(60), ["anna", "cleo"]],
    ).fetchall()
    assert dict(rows) == {"anna": 35_000 + 60_000 + 9_000, "cleo": 35_000}


def test_what_happened_is_told_in_words(told: Shop) -> None:
    lines = []
    for member in MEMBERS:
        for event in events_of(told, member):
            headline, details = explain(event, "USD")
            lines += [f"{member}: {headline}", *(f"{member}:     {line}" for line in details)]
    for line in (
        "bert: given to member anna: 150 points",
        "anna: got from member bert: 150 points",
        "anna: merged into the account of member cleo, by emp-1 (one person)",
        "dora: frozen by emp-1: earns and cannot spend (as asked)",
        "emil: closed by emp-1: the balance is forfeited 5 March 2017, 00:00 (as asked)",
    ):
        assert line in lines, "\n".join(lines)
    absorbed = [line for line in lines if "the account of anna went over into this one" in line]
    assert len(absorbed) == 1
    assert any("lot" in line and "at most" in line for line in lines if line.startswith("cleo"))
