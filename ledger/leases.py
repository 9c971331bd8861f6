"""What the shards of one batch may spend of budgets, while the batch is decided.

Each shard holds a lease of each budget. An award is paid from the lease of its account's shard, and
a return gives back to it; what an award needed beyond it is noted, so that the append can draw more
and decide again. Pure: the rows are read and written in `ledger.budgets`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from ledger.core.program.timeline import Timeline
from ledger.core.rules.budgets import moves_of, short_of
from schemas.decisions import AccountEvent, Award, BudgetShare, PurchaseRewarded
from schemas.fields import Instant

LeaseKey = tuple[str, int]
"""Budget and shard."""


class Moved(NamedTuple):
    """What an input does in one shard: `moves` of budgets; `short`: (budget, need, what was left)
    of each award that did not fit."""

    moves: Sequence[BudgetShare]
    short: Sequence[tuple[str, int, int]]


def moved_by(events: Sequence[AccountEvent], at: Instant, programs: Timeline) -> Moved:
    """What the events of an input do; `at`: the input's moment."""
    moves: list[BudgetShare] = []
    short: list[tuple[str, int, int]] = []
    for event in events:
        moves += moves_of(event)
        awards: Sequence[Award] = getattr(event, "awards", ())
        if awards or isinstance(event, PurchaseRewarded):
            short += short_of(event, programs.at(at))
    return Moved(moves, short)


class Leases(Struct):
    """`budgets`: the ids of those that the batch may use, ascending. `leased`: what each lease
    holds, with what this append has drawn; `rooms`: by shard, what the decisions so far have left
    of it (of other budgets: what they give back). `undrawn`: what is left of each budget that no
    shard holds, as last seen. `short`: of awards that did not fit, what each needed and what there
    was then; `final`: leases for which there is nothing more to be had. `locked`: the totals of the
    budgets whose rows this append has locked; `sealed`: whether it has locked what comes behind all
    budgets; `held`: the budgets whose leases it has locked."""

    budgets: tuple[str, ...]
    leased: dict[LeaseKey, int] = field(default_factory=dict)
    rooms: dict[int, dict[str, int]] = field(default_factory=dict)
    undrawn: dict[str, int] = field(default_factory=dict)
    short: dict[LeaseKey, list[tuple[int, int]]] = field(default_factory=dict)
    final: set[LeaseKey] = field(default_factory=set)
    locked: dict[str, int] = field(default_factory=dict)
    sealed: bool = False
    held: set[str] = field(default_factory=set)

    def know(self, rows: Iterable[tuple[str, int, int, int]]) -> set[int]:
        """Take note of rows (budget, shard, leased, undrawn); the shards whose leases differ from
        what was known. Of budgets that are only given back nothing has to be known."""
        changed = set()
        for budget, shard, leased, undrawn in rows:
            if budget not in self.budgets:
                continue
            self.undrawn[budget] = undrawn
            if self.leased.get((budget, shard)) != leased:
                self.leased[budget, shard] = leased
                changed.add(shard)
        self.forget(changed)
        return changed

    def forget(self, shards: Iterable[int]) -> None:
        """Undo what was decided for these shards."""
        for shard in shards:
            self.rooms[shard] = {}
            for budget in self.budgets:
                self.rooms[shard][budget] = self.leased.get((budget, shard), 0)
                self.short.pop((budget, shard), None)
                self.final.discard((budget, shard))

    def presume(self) -> None:
        """Count what no shard holds as held by each, as if it were drawn: for asking only. What was
        decided is undone."""
        for key in self.leased:
            self.leased[key] += self.undrawn[key[0]]
        self.forget({shard for _, shard in self.leased})

    def had(self, shard: int) -> tuple[BudgetShare, ...]:
        """What there is of each budget for the next decision in the shard."""
        return tuple([BudgetShare(*each) for each in self.rooms.get(shard, {}).items()])

    def of_all(self) -> set[str]:
        """The budgets that the batch may use, and those that it gives something back to."""
        return set(self.budgets).union(*self.rooms.values())

    def follow(self, shard: int, moved: Moved) -> None:
        """Take off what an input uses, add what it gives back, and note what did not fit."""
        rooms = self.rooms.setdefault(shard, {})
        for move in moved.moves:
            rooms[move.budget] = rooms.get(move.budget, 0) - move.amount
        for budget, need, left in moved.short:
            self.short.setdefault((budget, shard), []).append((need, left))

    def missing(self) -> dict[LeaseKey, int]:
        """What would have to be drawn for every award to fit."""
        return {
            key: sum([need for need, _ in short]) - min([left for _, left in short])
            for key, short in sorted(self.short.items())
            if key not in self.final
        }

    def smallest(self, key: LeaseKey) -> int:
        """What would have to be drawn for the smallest of the awards to fit."""
        return min([need - left for need, left in self.short[key]])

    def unused(self, key: LeaseKey) -> int:
        """What the lease holds and the batch leaves in it."""
        return min(self.rooms[key[1]][key[0]], self.leased[key])

    def used(self) -> dict[LeaseKey, int]:
        """What the batch as decided uses of each lease."""
        return {
            (budget, shard): self.leased.get((budget, shard), 0) - room
            for shard, rooms in self.rooms.items()
            for budget, room in rooms.items()
        }
