"""What a back-test counts: points and money before and after, by what, and member by member.

Integers throughout. `before` is what the log records, `after` what the other program would have
given. Tallies of accounts are added to those of shards, and these to one.
"""

import heapq
from collections import Counter
from typing import Any

from msgspec import Struct, field

from schemas.decisions import AccountEvent, Award

NONE = "(none)"
"""The key of what has no store, or of which no segment was recorded."""

ADJUSTMENT = "adjustment"
"""The kind of an award that was given by hand: no program gave it."""

CHANGED_MAX = 1_000
"""Most members that are told as changed the most: more is what the Parquet files are for."""

NO_SEGMENTS = (NONE,)

BEFORE, AFTER, BOTH = 0, 1, 2
"""Of which program something is counted."""

SIDES = ((BEFORE,), (AFTER,), (BEFORE, AFTER))
"""The places of a cell that each of them means."""


class Row(Struct):
    """What one rule, tier, segment, store or month gave. `points`: granted; `awards`: how many
    awards with points; `cost`: minor units, at the point value in force at each award."""

    points: list[int] = field(default_factory=lambda: [0, 0])
    awards: list[int] = field(default_factory=lambda: [0, 0])
    cost: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, other: "Row") -> None:
        """Add another's."""
        for mine, theirs in (
            (self.points, other.points),
            (self.awards, other.awards),
            (self.cost, other.cost),
        ):
            mine[BEFORE] += theirs[BEFORE]
            mine[AFTER] += theirs[AFTER]


class Side(Struct):
    """What came to one member, or to all, under one program: points. `granted`: by awards; `taken`:
    taken back or forfeited; `spent`: net of what returns restored; `outstanding`: what is left in
    lots at the end, pending and reserved included; `liability`: that in minor units."""

    granted: int = 0
    taken: int = 0
    expired: int = 0
    spent: int = 0
    cost: int = 0
    outstanding: int = 0
    debt: int = 0
    liability: int = 0

    def add(self, other: "Side") -> None:
        """Add another's."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def net(self) -> int:
        """Granted, less what was taken back."""
        return self.granted - self.taken


class Member(Struct):
    """One member's two sides, the tiers at the end, and what was spent and would not be there."""

    member_id: str
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    tier_before: str = ""
    tier_after: str = ""
    shortfall: int = 0

    @property
    def change(self) -> int:
        """Points more, net of what is taken back; below 0: fewer."""
        return self.after.net - self.before.net


Groups = dict[str, dict[str, Row]]

Cell = list[int]
"""Points, awards and cost before, then after."""

CellKey = tuple[str, tuple[str, ...], str, str]
"""Tier, segments, store and month of what was granted at once."""

GROUPS = ("rule", "tier", "segment", "store", "month")


class Tally(Struct):
    """Of a shard, or of all. `groups`: rule | tier | segment | store | month → key → row; `tiers`:
    (tier before, tier after) at the end → members; `changes`: sums over members for estimates
    (count, sum and sum of squares of the change, of the liability's change); `undecided`: inputs
    that the other program could not decide, by reason; `left_out`: members left out, with why;
    `budgets`: points or times used; `cells`, `rules`: what is
    counted and not yet in `groups` (see `close`)."""

    groups: Groups = field(
        default_factory=lambda: {name: {} for name in ("rule", "tier", "segment", "store", "month")}
    )
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    members: int = 0
    inputs: int = 0
    identical: int = 0
    winners: int = 0
    won: int = 0
    losers: int = 0
    lost_points: int = 0
    shortfall: int = 0
    members_short: int = 0
    tiers: Counter[tuple[str, str]] = field(default_factory=Counter)
    budgets: dict[str, list[int]] = field(default_factory=dict)
    undecided: Counter[str] = field(default_factory=Counter)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    squares: dict[str, list[int]] = field(default_factory=dict)
    changed: list[Member] = field(default_factory=list)
    short: list[Member] = field(default_factory=list)
    cells: dict[CellKey, Cell] = field(default_factory=dict)
    rules: dict[str, Cell] = field(default_factory=dict)

    def count(
        self, member: Member, side: int, event: AccountEvent, tier: str, value: int, month: str
    ) -> None:
        """Count what an event gave and took. `tier`: the account's at the event; `value`: minor
        units of a point then; `month`: of the event, as text."""
        awards: tuple[Award, ...] = getattr(event, "awards", ())
        granted, cost = 0, 0
        if awards:
            granted = self._awards(side, event, awards, tier, value, month)
            cost = granted * value
        taken = expired = spent = 0
        for posting in event.postings:
            name = posting.account
            if name == "revoked":
                taken += posting.points
            elif name == "expired":
                expired += posting.points
            elif name == "redeemed":
                spent += posting.points
        for each in SIDES[side]:
            of_member = member.after if each else member.before
            of_member.granted += granted
            of_member.cost += cost
            of_member.taken += taken
            of_member.expired += expired
            of_member.spent += spent

    def _awards(
        self,
        side: int,
        event: AccountEvent,
        awards: tuple[Award, ...],
        tier: str,
        value: int,
        month: str,
    ) -> int:
        """Count the awards of an event; the points that they gave."""
        total = paid = 0
        rules, sides = self.rules, SIDES[side]
        for award in awards:
            points = award.points
            if points and award.kind != ADJUSTMENT:
                rule = award.rule if award.kind != "welcome" else f"welcome {award.rule}"
                cell = rules.get(rule)
                if cell is None:
                    cell = rules[rule] = [0] * 6
                for each in sides:
                    cell[each] += points
                    cell[2 + each] += 1
                    cell[4 + each] += points * value
                total += points
                paid += 1
        if not total:
            return 0
        bought: Any = getattr(event, "purchase", None) or getattr(event, "activity", None)
        facts = getattr(event, "facts", None)
        segments = (facts.segments if facts is not None else None) or NO_SEGMENTS
        store = (bought.store_id if bought is not None else None) or NONE
        key = (tier, segments, store, month)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = [0] * 6
        for each in sides:
            cell[each] += total
            cell[2 + each] += paid
            cell[4 + each] += total * value
        return total

    def close(self) -> None:
        """Put what was counted into its groups: counting goes by one key, telling by many."""
        for rule, cell in self.rules.items():
            self._into("rule", rule, cell)
        for (tier, segments, store, month), cell in self.cells.items():
            self._into("tier", tier, cell)
            for segment in segments:
                self._into("segment", segment, cell)
            self._into("store", store, cell)
            self._into("month", month, cell)
        self.rules, self.cells = {}, {}

    def _into(self, group: str, key: str, cell: Cell) -> None:
        self.groups[group].setdefault(key, Row()).add(Row(cell[0:2], cell[2:4], cell[4:6]))

    def end(self, member: Member, top: int) -> None:
        """Count a member whose history has ended."""
        self.members += 1
        self.before.add(member.before)
        self.after.add(member.after)
        self.tiers[member.tier_before, member.tier_after] += 1
        change = member.change
        if change > 0:
            self.winners += 1
            self.won += change
        elif change < 0:
            self.losers += 1
            self.lost_points -= change
        if member.shortfall:
            self.shortfall += member.shortfall
            self.members_short += 1
            _keep(self.short, member, top, lambda one: one.shortfall)
        if change:
            _keep(self.changed, member, top, lambda one: abs(one.change))
        for name, number in (
            ("points", change),
            ("granted", member.after.granted - member.before.granted),
            ("cost", member.after.cost - member.before.cost),
            ("liability", member.after.liability - member.before.liability),
            ("shortfall", member.shortfall),
        ):
            sums = self.squares.setdefault(name, [0, 0])
            sums[0] += number
            sums[1] += number * number

    def add(self, other: "Tally", top: int) -> None:
        """Add another shard's."""
        for group, rows in other.groups.items():
            mine = self.groups[group]
            for key, row in rows.items():
                mine.setdefault(key, Row()).add(row)
        self.before.add(other.before)
        self.after.add(other.after)
        for name in (
            "members",
            "inputs",
            "identical",
            "winners",
            "won",
            "losers",
            "lost_points",
            "shortfall",
            "members_short",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.tiers.update(other.tiers)
        self.undecided.update(other.undecided)
        self.left_out += other.left_out
        for budget, (before, after) in other.budgets.items():
            used = self.budgets.setdefault(budget, [0, 0])
            used[BEFORE] += before
            used[AFTER] += after
        for name, sums in other.squares.items():
            mine_sums = self.squares.setdefault(name, [0, 0])
            mine_sums[0] += sums[0]
            mine_sums[1] += sums[1]
        for one in other.changed:
            _keep(self.changed, one, top, lambda each: abs(each.change))
        for one in other.short:
            _keep(self.short, one, top, lambda each: each.shortfall)


def _keep(kept: list[Member], member: Member, top: int, key: Any) -> None:
    """Keep the `top` largest, told apart by their ids where they are equal."""
    kept.append(member)
    if len(kept) > 2 * top:
        kept[:] = largest(kept, top, key)


def largest(members: list[Member], top: int, key: Any) -> list[Member]:
    """The `top` members with the largest key, the largest first; of equal ones by id."""
    return heapq.nsmallest(top, members, key=lambda one: (-key(one), one.member_id))
