"""Histories of several members who buy, return, spend, give points, and are merged, at random.

After every step: what left one account has arrived in another, no account is in an impossible state
(`Member` checks it), and in all accounts there is what was granted, less what was spent, expired
and taken back. In the end: settling in between, by a scheduler, would have changed nothing.
"""

from random import Random

import pytest

from ledger.core.calendar import DAY_US
from schemas import inputs
from schemas.decisions import InputRefused, PostingAccount
from tests.core.account_tools import MINIMAL, Member, at, merge, timeline, transfer

PROGRAM = (
    MINIMAL.replace("immediately", "{after: P3D}").replace("after: P12M", "after: P40D")
    + """
tiers:
  qualify_by: {amount_spent: {window: calendar_month}}
  levels: [{id: silver, at_least: 20000}, {id: gold, at_least: 50000}]
transfers: {minimum: 2, at_most: 300, per_day: 400}
closing: {notice: P9D}
returns: {policy: debt, window: P30D}
redemption: {restore_grace: P2D, reservation_ttl: P1D}
"""
)

TIMED = (
    PROGRAM.replace("expiry: {after: P40D}", "expiry: {after_inactivity: P20D}")
    .replace("{window: calendar_month}", "{rolling: P20D}")
    .replace("at_least: 20000}", "at_least: 20000, welcome: 15}")
    .replace(
        "earn:\n",
        "earn:\n  - {id: second, award: {fixed: 7},"
        " activation: {on: purchase.completed.v1, within: P5D}}\n",
    )
)
"""The same where time does more: tiers roll, purchases move the expiry on and activate points."""

HISTORIES = 60
STEPS = 45

MEMBERS = ("a", "b", "c", "d")

OUTSIDE = ("issued", "redeemed", "expired", "revoked")


class Town:
    """The members; who was merged passes inputs on."""

    def __init__(self, seed: int, ticks: bool) -> None:
        self.random = Random(seed)
        self.luck = Random(f"{seed} ticks")
        self.ticks = ticks
        programs = timeline(TIMED if seed % 2 else PROGRAM)
        self.members = {name: Member(programs, name) for name in MEMBERS}
        self.now = at("2020-01-01")
        self.orders: list[tuple[str, str]] = []
        self.number = 0
        self.held = "a", "none"

    def final(self, name: str) -> Member:
        """The account that decides on inputs of a member."""
        member = self.members[name]
        while member.account.merged_into is not None:
            member = self.members[member.account.merged_into]
        return member

    def step(self) -> None:
        """Something happens, not always in the order of time."""
        random = self.random
        self.now += random.choice((0, DAY_US // 24, DAY_US, 2 * DAY_US))
        self.number += 1
        name, other = random.choice(MEMBERS), random.choice(MEMBERS)
        kind = random.randrange(100)
        amount, points = random.randrange(1, 40_000), random.randrange(1, 320)
        if self.ticks and self.luck.random() < 0.5:
            self.members[self.luck.choice(MEMBERS)].tick(self.now)
        member, number = self.final(name), str(self.number)
        if kind < 35:
            self.orders.append((name, f"o{number}"))
            member.buy(self.now, f"o{number}", amount, amount // 3)
        elif kind < 50 and self.orders:
            who, order = random.choice(self.orders)
            lines = random.choice((None, {"1": 100}))
            self.final(who).give_back(self.now, order, f"r{number}", lines)
        elif kind < 60:
            self.held = name, f"h{number}"
            member.reserve(self.now, f"h{number}", points)
        elif kind < 68:
            self.final(self.held[0]).confirm(self.now, self.held[1])
        elif kind < 92:
            transfer(member, self.members[other], self.now, points)
        elif kind < 95:
            if name != other:
                merge(self.members[name], self.members[other], self.now)
        elif kind < 97:
            member.standing(self.now, inputs.AccountFreeze)
        elif kind < 99:
            member.standing(self.now, inputs.AccountUnfreeze)
        else:
            member.standing(self.now, inputs.AccountClose)

    def posted(self, account: str) -> int:
        """All postings to one account of the double entry, of everybody."""
        return sum(
            posting.points
            for member in self.members.values()
            for event in member.events
            for posting in event.postings
            if posting.account == account
        )

    def check(self) -> None:
        """The whole town's books."""
        assert self.posted("transferred") == 0
        held = 0
        for member in self.members.values():
            balances = member.account.balances()
            held += balances.available + balances.pending + balances.reserved
            if member.account.status == "merged":
                assert member.points == (0, 0, 0)
        assert held + sum(self.posted(name) for name in OUTSIDE) == 0


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_no_point_is_made_or_lost(seed: int) -> None:
    quiet, ticking = Town(seed, ticks=False), Town(seed, ticks=True)
    for _ in range(STEPS):
        quiet.step()
        ticking.step()
        quiet.check()
    ticking.check()
    for name in MEMBERS:
        one, two = quiet.members[name], ticking.members[name]
        for each in (one, two):
            each.tick(quiet.now + 100 * DAY_US)
        assert one.points == two.points
        assert one.account.status == two.account.status
        assert one.account.tiers == two.account.tiers
        codes = [[e.code for e in m.events if isinstance(e, InputRefused)] for m in (one, two)]
        assert codes[0] == codes[1]


def test_the_histories_hold_what_they_are_about() -> None:
    seen: set[str] = set()
    accounts: set[str] = set()
    for seed in range(HISTORIES):
        town = Town(seed, ticks=False)
        for _ in range(STEPS):
            town.step()
        for member in town.members.values():
            seen |= {type(event).__name__ for event in member.events}
            seen |= {e.code for e in member.events if isinstance(e, InputRefused)}
            accounts |= {p.account for e in member.events for p in e.postings}
    assert seen >= {
        "PointsSent", "PointsReceived", "AccountMerged", "AccountAbsorbed", "AccountFrozen",
        "AccountClosed", "account_frozen", "account_closed", "receiver_closed", "receiver_merged",
        "over_limit", "not_enough_points",
    }  # fmt: skip
    assert accounts == {each.value for each in PostingAccount} - {"adjusted"}
