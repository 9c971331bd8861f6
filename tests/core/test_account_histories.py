"""Random histories: whatever happens, the invariants hold and time does its work whoever looks.

Every input of these histories is checked by `Member` too: postings sum to zero, the decoded events
fold to an equal account, a snapshot gives it back, every total fits its lots.
"""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.account import Account
from ledger.core.forecast import Step as ForecastStep
from ledger.core.forecast import forecast
from ledger.core.program.timeline import Timeline
from ledger.core.settle import next_due
from ledger.core.tick import decide_tick
from schemas.decisions import NO_LOT, PurchaseRewarded
from schemas.fields import Instant
from tests.core.account_tools import Member, at
from tests.core.histories import (
    HOUR_US,
    LATE_HOURS_MAX,
    MEMBERS,
    START,
    Step,
    Town,
    programs,
    steps,
)

SAMPLES = 80
"""Histories per property and run."""

LONG_AFTER = at("2019-06-01")
"""A moment by which nothing is left to fall due but what never expires."""

changes = st.one_of(st.none(), st.tuples(programs(), st.integers(5, 60)))
"""No other program version, or one that takes effect so many days after the start."""


def versions(first: dict[str, Any], change: tuple[dict[str, Any], int] | None) -> Town:
    if change is None:
        return Town(first)
    document, days = change
    effective = f"2017-{1 + days // 28:02}-{1 + days % 28:02}T00:00:00Z"
    return Town(first, {**document, "effective_from": effective, "time_zone": first["time_zone"]})


def settled(account: Account, until: Instant, timeline: Timeline) -> Account:
    fork = account.fork()
    decide_tick(fork, until, timeline)
    return fork


def state(account: Account) -> tuple[object, ...]:
    """What time changes; when an order is forgotten depends on who looks."""
    return account.holdings, account.tiers, account.reservations, account.waiting


@settings(max_examples=SAMPLES)
@given(programs(), changes, steps, st.lists(st.integers(0, 50), min_size=1, max_size=9))
def test_settling_in_one_step_or_in_many_is_the_same(
    document: dict[str, Any],
    change: tuple[dict[str, Any], int] | None,
    history: list[Step],
    ticks: list[int],
) -> None:
    settles_alike(versions(document, change), versions(document, change), history, ticks)


def settles_alike(rarely: Town, often: Town, history: list[Step], ticks: list[int]) -> None:
    """Two towns with the same history, of which only one is ticked, end alike."""
    now = at(START) + LATE_HOURS_MAX * HOUR_US
    for place, (who, hours, late, step) in enumerate(history):
        now += hours * HOUR_US
        # A tick never goes beyond what may still arrive late.
        watermark = now - LATE_HOURS_MAX * HOUR_US
        for member in often.ours.values():
            member.tick(watermark - ticks[place % len(ticks)] * HOUR_US)
            member.tick(watermark)
        for town in (rarely, often):
            town.take(MEMBERS[who], now - late * HOUR_US, step)
    for name in MEMBERS:
        one = settled(rarely.ours[name].account, LONG_AFTER, rarely.timeline)
        other = often.ours[name].account.fork()
        while (due := next_due(other, often.timeline)) is not None:
            assert decide_tick(other, due - 1, often.timeline) == []
            assert decide_tick(other, due, often.timeline) != []
        assert state(one) == state(other)


def step_at(steps: list[ForecastStep], moment: Instant) -> ForecastStep:
    return [step for step in steps if step.at <= moment][-1]


@settings(max_examples=SAMPLES)
@given(programs(), changes, steps, st.lists(st.integers(0, 24 * 90), min_size=1, max_size=5))
def test_a_forecast_is_what_settling_yields(
    document: dict[str, Any],
    change: tuple[dict[str, Any], int] | None,
    history: list[Step],
    asked: list[int],
) -> None:
    forecasts_hold(versions(document, change), history, asked)


def forecasts_hold(town: Town, history: list[Step], asked: list[int]) -> None:
    """After a history, each forecast is what settling to the hours `asked` later yields."""
    for _ in town.live(history):
        pass
    for member in town.ours.values():
        if not member.account.version:
            continue
        steps = forecast(member.account, town.timeline)
        assert [step.at for step in steps] == sorted({step.at for step in steps})
        for moment in [member.account.settled_to + hours * HOUR_US for hours in asked]:
            account = settled(member.account, moment, town.timeline)
            found, balances = step_at(steps, moment), account.balances()
            assert (found.available, found.pending) == (balances.available, balances.pending)
            assert (found.reserved, found.expired) == (balances.reserved, balances.expired)
            assert (found.debt, found.tier) == (balances.debt, account.tier)
            assert member.account.tier_at(moment, town.timeline) == account.tier


def as_of(member: Member, moment: Instant) -> Counter[str]:
    """The balances by the postings effective up to a moment."""
    total: Counter[str] = Counter()
    for event in member.events:
        for posting in event.postings:
            if posting.effective_at <= moment:
                total[posting.account] += posting.points
                if posting.account == "available" and posting.lot == NO_LOT:
                    total["debt"] -= posting.points
    return total


@settings(max_examples=SAMPLES)
@given(programs(), changes, steps)
def test_postings_tell_the_balances_of_every_moment(
    document: dict[str, Any], change: tuple[dict[str, Any], int] | None, history: list[Step]
) -> None:
    postings_tell(versions(document, change), history)


def postings_tell(town: Town, history: list[Step]) -> None:
    """Without late inputs what was seen at a moment can be read from the postings for ever."""
    seen: list[tuple[str, Instant, tuple[int, ...]]] = []
    now = at(START)
    for who, hours, _, step in history:
        now += (hours + 1) * HOUR_US
        town.take(MEMBERS[who], now, step)
        for name, member in town.ours.items():
            # A referrer's reward can be late by itself; what was seen before it is then not final.
            if any(event.late_by for event in member.events):
                return
            held = settled(member.account, now, town.timeline).balances()
            seen.append((name, now, (held.available, held.pending, held.reserved, held.expired)))
    for member in town.ours.values():
        member.tick(LONG_AFTER)
    for name, moment, balances in seen:
        total = as_of(town.ours[name], moment)
        told = tuple(total[account] for account in ("available", "pending", "reserved", "expired"))
        assert told == balances


def taken_back(rewarded: PurchaseRewarded, amounts: list[int], left: list[int]) -> int:
    """What is gone in all: of each line's share its proportion, rounded in the member's favour."""
    return sum(
        share.points * (amounts[share.line] - left[share.line]) // amounts[share.line]
        for award in rewarded.awards
        for share in award.lines
        if amounts[share.line]  # nothing comes back of a line that cost nothing
    )


@settings(max_examples=SAMPLES)
@given(
    programs(),
    st.lists(st.integers(0, 2000), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 900)), max_size=8),
)
def test_partial_returns_take_back_exactly_what_was_granted(
    document: dict[str, Any], amounts: list[int], parts: list[tuple[int, int]]
) -> None:
    town = Town({**document, "returns": {"policy": "debt"}})
    member = town.ours["a"]
    town.buy("a", at(START), "X", amounts)
    (rewarded,) = (event for event in member.events if isinstance(event, PurchaseRewarded))
    granted = member.account.granted
    left = list(amounts)
    for line, amount in parts:
        line %= len(amounts)
        part = min(amount, left[line])
        if part:
            left[line] -= part
            town.returned("a", at(START) + HOUR_US, "X", {str(line + 1): part})
            held = member.account.balances()
            assert granted - held.available - held.pending == taken_back(rewarded, amounts, left)
    if any(left) or 0 in amounts:
        town.returned("a", at(START) + 2 * HOUR_US, "X", None)
    held = member.account.balances()
    assert held.available + held.pending == 0
    order = member.account.order("X")
    assert order is not None
    assert all(award.gone == award.points for award in order.awards)
    assert member.account.lifetime == (0, 0, 0)
    assert all(used == (0, 0) for used in member.account.used.values())
