"""Balances, lots and tiers as of any moment, against the account and its postings themselves."""

import random

from ledger.accounts import account_id_of
from ledger.core.account import Account
from ledger.core.calendar import from_instant, to_instant
from ledger.core.fold import evolve
from ledger.core.program.timeline import Timeline
from ledger.core.settle import settle
from ledger.sharding import shard_of
from projections import queries
from projections.log import decode, histories
from projections.lots import lots_at
from schemas.decisions import NO_LOT, AccountEvent
from schemas.fields import Instant
from tests.projections.conftest import Shop
from tests.projections.history import catch_up, write_history
from tests.projections.log_writer import (
    SHARDS,
    confirm,
    day,
    erase,
    give_back,
    purchase,
    reserve,
    survey,
)


def events_of(shop: Shop, member: str) -> list[AccountEvent]:
    account = account_id_of("shop", member)
    shard = shard_of(member, SHARDS)
    return [decode(entry) for entry in histories(shop.session, shard, [account], 2**60)]


def folded(member: str, events: list[AccountEvent]) -> Account:
    account = Account.new(member)
    for event in events:
        evolve(account, event)
    return account


def expected(
    account: Account, events: list[AccountEvent], at: Instant, programs: Timeline
) -> tuple[int, int, int, int, int, int, str]:
    """docs/domain.md, Time: the postings effective by then, then settled to then."""
    tier = account.tier_at(at, programs)
    settled = settle(account, at, programs)
    if settled is not None:
        events = [*events, settled]
    postings = [p for event in events for p in event.postings if p.effective_at <= at]
    total = {
        name: sum(p.points for p in postings if p.account == name)
        for name in ("available", "pending", "reserved", "expired", "issued")
    }
    debt = -sum(p.points for p in postings if p.account == "available" and p.lot == NO_LOT)
    return (
        total["available"],
        total["pending"],
        total["reserved"],
        total["expired"],
        -total["issued"],
        debt,
        tier,
    )


def test_every_balance_at_any_moment_is_what_the_postings_say(shop: Shop) -> None:
    write_history(shop.log, seed=11, members=6, inputs=150)
    catch_up(shop.session)
    rng = random.Random(11)
    members = {member: events_of(shop, member) for member in shop.log.accounts}
    accounts = {member: folded(member, events) for member, events in members.items()}
    moments = [to_instant(day(rng.uniform(-5, 1_200))) for _ in range(25)]
    edges = [p.effective_at for events in members.values() for e in events for p in e.postings]
    moments += [edge + offset for edge in rng.sample(edges, 10) for offset in (-1, 0)]
    for at in moments:
        rows = {row.member_id: row for row in queries.balances(shop.session, from_instant(at))}
        for member, events in members.items():
            one = queries.balance_of(shop.session, member, from_instant(at))
            assert one == rows.get(member)
            if min(event.occurred_at for event in events) > at:
                assert one is None
                continue
            assert one is not None
            meant = expected(accounts[member], events, at, shop.log.programs)
            assert one[1:] == meant, (member, from_instant(at))
            lots = lots_at(member, events, at, shop.log.programs)
            assert sum(lot.available for lot in lots) - one.debt == one.available
            assert sum(lot.pending for lot in lots) == one.pending
            assert sum(lot.reserved for lot in lots) == one.reserved


def test_the_row_of_a_member_is_the_sum_of_its_changes(shop: Shop) -> None:
    write_history(shop.log, seed=12)
    catch_up(shop.session)
    rows = shop.session.execute(
        "SELECT b.member_id FROM read.balances b JOIN read.balance_changes c USING (member_id) "
        "WHERE c.effective_at <= b.settled_to "
        "GROUP BY b.member_id HAVING (sum(c.available), sum(c.pending), sum(c.expired), "
        "sum(c.granted), sum(c.debt)) IS DISTINCT FROM (max(b.available), max(b.pending), "
        "max(b.expired), max(b.granted), max(b.debt))"
    ).fetchall()
    assert rows == []
    ahead = shop.session.execute(
        "SELECT count(*) FROM read.balance_changes c JOIN read.balances b USING (member_id) "
        "WHERE c.effective_at > b.settled_to"
    ).fetchone()
    assert ahead == (0,), "what was posted is not later than what was settled"
    lots = shop.session.execute(
        "SELECT b.member_id FROM read.balances b LEFT JOIN read.open_lots l USING (member_id) "
        "GROUP BY b.member_id HAVING coalesce(sum(l.available), 0) <> "
        "max(b.available) + max(b.debt) OR coalesce(sum(l.pending), 0) <> max(b.pending)"
    ).fetchall()
    assert lots == []


def test_debt_shows_as_available_below_zero_and_is_paid_by_the_next_points(shop: Shop) -> None:
    shop.log.take("anna", purchase("o1", day(0), [10_000]))
    shop.log.take("anna", reserve("r1", day(10), 150))
    shop.log.take("anna", confirm("r1", day(10.01)))
    shop.log.take("anna", give_back("o1", day(11)))
    shop.log.take("anna", survey("anna", day(12)))
    catch_up(shop.session)

    def shown(days: float) -> tuple[int, ...]:
        found = queries.balance_of(shop.session, "anna", day(days))
        assert found is not None
        return (found.available, found.reserved, found.debt, found.granted)

    assert shown(9) == (150, 0, 0, 150)
    assert shown(10.005) == (0, 150, 0, 150)
    assert shown(11) == (-150, 0, 150, 150)
    assert shown(12) == (50, 0, 0, 350)
    assert shown(400) == (0, 0, 0, 350)


def test_tier_intervals_reach_into_the_future(shop: Shop) -> None:
    shop.log.take("anna", purchase("o1", day(10), [60_000]))
    catch_up(shop.session)
    rows = shop.session.execute(
        "SELECT tier, valid_from, valid_to FROM read.tier_intervals ORDER BY valid_from"
    ).fetchall()
    # Reached in 2017: to the end of 2018 plus a month of grace.
    until = day(365 + 365 + 31)
    assert rows == [("silver", day(10), until), ("none", until, None)]
    progress = queries.progress_of(shop.session, "anna")
    assert progress is not None
    assert (progress.tier, progress.measure, progress.reached) == ("silver", "amount_spent", 60_000)
    assert (progress.next_tier, progress.next_at_least, progress.missing) == (
        "gold",
        100_000,
        40_000,
    )
    assert (progress.period_from, progress.period_to) == (day(0), day(365))


def test_who_was_erased_is_in_no_segment_from_then_on(shop: Shop) -> None:
    shop.log.take("anna", purchase("o1", day(1), [30_000], "FRESH"))
    shop.log.take("anna", erase(day(100)))
    catch_up(shop.session)
    intervals = queries.memberships(shop.session, "anna")
    assert {i.segment for i in intervals} == {"fresh-buyer", "lapsed", "rich", "spender"}
    assert all(i.left_at is not None and i.left_at <= day(100) for i in intervals)
    found = queries.balance_of(shop.session, "anna", day(101))
    assert found is not None
    assert (found.available, found.pending) == (0, 0)
