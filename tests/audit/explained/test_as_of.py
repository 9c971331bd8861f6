"""What was known when, and what had happened when: of one member and of all, by either clock."""

import json
import random
from collections.abc import Iterator
from datetime import datetime

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner

from audit.as_of import AsOf, as_of
from audit.as_of_all import as_of_all, programs_known
from audit.member_log import ledger_facts, member_log
from cli import balances as balance_commands
from ledger.core.calendar import to_instant
from ledger.core.tick import decide_tick
from ledger.errors import LedgerError
from projections import queries
from projections.lots import lots_at
from projections.queries import Balance
from schemas.fields import Instant
from tests.audit.explained.towns import moments_of, town_of
from tests.projections.conftest import Shop
from tests.projections.history import catch_up, write_history
from tests.projections.log_writer import SHARDS, day, program, purchase

SEEDS = range(12)


def balance_in(found: AsOf) -> Balance:
    return Balance(*(getattr(found, name) for name in Balance._fields))


@pytest.mark.parametrize("seed", SEEDS)
def test_by_recorded_is_what_was_seen_live(seed: int) -> None:
    """After each step what a till would have seen then; in the end the log tells the same."""
    town = town_of(seed, steps=0)
    seen: list[tuple[Instant, dict[str, int], dict[str, tuple[int, int, int, str]]]] = []
    for _ in range(45):
        town.step()
        counts = {name: len(member.events) for name, member in town.members.items()}
        live = {}
        for name, member in town.members.items():
            fork = member.account.fork()
            decide_tick(fork, town.now, member.programs)
            now = fork.balances()
            live[name] = (now.available, now.pending, now.reserved,
                          fork.tier_at(town.now, member.programs))  # fmt: skip
        seen.append((town.now, counts, live))
    for at, counts, live in seen:
        for name, member in town.members.items():
            known = member.events[: counts[name]]
            found = as_of(name, known, member.programs, at)
            if found is None:
                assert not known
                continue
            assert (found.available, found.pending, found.reserved, found.tier) == live[name]
            assert found.in_lots == found.available + found.debt + found.pending + found.reserved
            assert found.liability == found.in_lots


@pytest.mark.parametrize("seed", SEEDS)
def test_lots_at_any_moment_are_those_of_the_read_models(seed: int) -> None:
    town = town_of(seed)
    for name, member in town.members.items():
        for at in moments_of(town, 3, seed):
            found = as_of(name, member.events, member.programs, at)
            if found is not None:
                assert list(found.lots) == lots_at(name, member.events, at, member.programs)


def live_history(shop: Shop) -> Iterator[tuple[datetime, list[Balance]]]:
    """Inputs, some of them weeks late, recorded at times of their own; what was seen after each
    few. Half-way another version is published."""
    folder = None
    for n in range(0, 100, 5):
        clock = shop.log.clock = day(n * 2.5 + 14)
        if n == 50:
            form = replace(program(), effective_from=day(n * 2.5 + 13.5), point_value=3)
            shop.log.publish(form)
        write_history(shop.log, seed=n, members=6, inputs=5, first=n)
        folder = catch_up(shop.session, folder)
        yield clock, list(queries.balances(shop.session, clock))


def by_id(found: Iterator[AsOf]) -> list[Balance]:
    return sorted(map(balance_in, found))


def test_all_members_by_either_clock(shop: Shop) -> None:
    seen = list(live_history(shop))
    ledger = ledger_facts(shop.session)
    folded: list[tuple[int, int]] = []
    for clock, live in seen:
        at = to_instant(clock)
        known = by_id(as_of_all(shop.session, ledger, at, at, lambda *done: folded.append(done)))
        assert known == sorted(live)
    assert folded[-1][0] == folded[-1][1] > 0
    rng, changed = random.Random(7), 0
    for clock, live in seen:
        at = to_instant(clock) - rng.randrange(40) * 3_600_000_000
        moment = day((at - to_instant(day(0))) / 86_400_000_000)
        rows = list(queries.balances(shop.session, moment))
        assert by_id(as_of_all(shop.session, ledger, at)) == sorted(rows)
        changed += sorted(live) != sorted(queries.balances(shop.session, clock))
        worth = shop.session.execute(
            "SELECT member_id, points, debt, point_value, liability, currency"
            " FROM read.liability_at(%s) ORDER BY member_id", [moment]
        ).fetchall()  # fmt: skip
        meant = sorted(as_of_all(shop.session, ledger, at), key=lambda one: one.member_id)
        assert worth == [
            (one.member_id, one.in_lots, one.debt, one.point_value, one.liability, "USD")
            for one in meant
        ]
    assert changed, "what arrived late has changed what is now told of then"


def test_one_member_by_recorded(shop: Shop) -> None:
    shop.log.clock = day(10)
    shop.log.take("anna", purchase("o1", day(9), [10_000]))
    shop.log.clock = day(60)
    shop.log.take("anna", purchase("late", day(5), [20_000]))
    ledger = ledger_facts(shop.session)
    for clock, pending, available in ((11, 150, 0), (59, 0, 150), (60, 0, 400)):
        at = to_instant(day(clock))
        log = member_log(shop.session, ledger, "anna", at)
        found = as_of("anna", [one.event for one in log], programs_known(shop.session, at), at)
        assert found is not None
        assert (found.pending, found.available) == (pending, available)
    assert member_log(shop.session, ledger, "anna", to_instant(day(9.9))) == []


def test_the_commands(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTS_DATABASE_URL", shop.url)
    monkeypatch.setenv("POINTS_SHARDS", str(SHARDS))
    monkeypatch.setenv("POINTS_PARTITIONS", "2")
    app = typer.Typer()
    balance_commands.register(app)

    def points(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result.stdout

    shop.log.clock = day(10)
    shop.log.take("anna", purchase("o1", day(9), [10_000]))
    shop.log.take("bert", purchase("o2", day(9), [700]))
    then = ("--at", "2017-02-10T00:00:00Z", "--by", "recorded")
    shown = json.loads(points("balance", "anna", *then, "--json"))
    assert (shown["available"], shown["in_lots"], shown["liability"]) == (150, 150, 150)
    assert [lot["available"] for lot in shown["lots"]] == [150]
    assert "as known at 2017-02-10T00:00:00Z" in points("balance", "anna", *then)
    rows = json.loads(points("balances", *then, "--json"))
    assert {row["member_id"]: row["available"] for row in rows} == {"anna": 150, "bert": 7}
    table = points("balances", *then, "--lots", "--csv").splitlines()
    assert table[0].startswith("member_id,lot,rules,granted,available")
    assert sorted(line.split(",")[0] for line in table[1:]) == ["anna", "bert"]
    occurred = json.loads(points("balances", "--at", "2017-02-10T00:00:00Z", "--lots", "--json"))
    assert sorted(row["liability"] for row in occurred) == [7, 150]
    with pytest.raises(LedgerError) as caught:
        points("balance", "anna", "--at", "2017-01-10T00:00:00Z", "--by", "recorded")
    assert caught.value.code == "unknown_member", "it was recorded a day later"
