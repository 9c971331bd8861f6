"""Budgets over all members: their rows, the leases that shards hold of them, and how these move.

One row for each budget (`undrawn`: what no shard holds) and one for each budget and shard
(`leased`: what the shard may still spend, `spent`: what it has spent). Always

    total = undrawn + the sum over the shards of (leased + spent)

An append locks the leases of its shards under their heads, and a budget's row only to draw more:
where it then needs one of a lower id, or a lease that it had not locked (to give something back
that only the decision under the lock knows of), it begins anew with all of them.
Order of locks: heads, leases by (budget, shard), promo codes, budgets by id. How what other shards
hold is called back is in `calling_back`, how a budget is opened in `budget_opening`.
"""

from collections.abc import Sequence, Set

from ledger.crash import crash_point
from ledger.leases import LeaseKey, Leases
from ledger.lookups import Connection

DRAW_LEAST = 500
"""What a shard draws at a time: an award of some points for each of a hundred purchases."""

DRAW_AHEAD = 8
"""Or so many times what it lacks now, so that at most one batch in so many is decided again."""

DRAWS_OF_SHARD = 64
"""A shard draws its even part of a large budget in so many times, each of which decides some inputs
again."""

DRAW_ROUNDS_MAX = 20
"""Times that one append draws and decides again. All that is lacking is drawn at once; only an
award that comes about by another's (a multiplier) asks anew. Later ones find what there is."""

_READ = """
SELECT l.budget, l.shard, l.leased, b.undrawn
FROM ledger.budget_leases l JOIN ledger.budgets b ON b.id = l.budget
WHERE l.budget = ANY(%s) AND l.shard = ANY(%s) ORDER BY l.budget, l.shard
"""
_HOLD = _READ + " FOR UPDATE OF l"
HOLD_ALL = (
    "SELECT budget, shard, leased FROM ledger.budget_leases WHERE budget = ANY(%s)"
    " ORDER BY budget, shard FOR UPDATE"
)
LOCK = "SELECT id, undrawn, total FROM ledger.budgets WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_HELD = (
    "SELECT budget, sum(leased)::bigint FROM ledger.budget_leases"
    " WHERE budget = ANY(%s) AND shard <> ALL(%s) GROUP BY budget"
)
TAKE = """
UPDATE ledger.budgets b SET undrawn = b.undrawn - v.amount
FROM unnest(%s::text[], %s::bigint[]) AS v (id, amount) WHERE b.id = v.id
"""
_LEASE = """
UPDATE ledger.budget_leases l SET leased = l.leased + v.amount
FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS v (budget, shard, amount)
WHERE l.budget = v.budget AND l.shard = v.shard
"""
_SPEND = """
UPDATE ledger.budget_leases l SET leased = l.leased - v.amount, spent = l.spent + v.amount
FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS v (budget, shard, amount)
WHERE l.budget = v.budget AND l.shard = v.shard
"""


class CallBack(Exception):
    """What an append needs is held by other shards. `missing`: how much each lease lacks; `leases`:
    what the batch itself spends, which is to be left in them."""

    def __init__(self, missing: dict[LeaseKey, int], leases: Leases) -> None:
        super().__init__(f"short of {missing}")
        self.missing = missing
        self.leases = leases


class LockBefore(Exception):
    """Something is to be locked after what comes behind it: the append is given up, and begins anew
    with the locks of all its budgets, so that two never wait for each other. `leases`, `codes`: the
    budgets whose leases, and the promo codes, that it is to lock beside its own."""

    def __init__(self, leases: Set[str] = frozenset(), codes: Set[bytes] = frozenset()) -> None:
        super().__init__(f"{len(leases)} leases and {len(codes)} codes more")
        self.leases = leases
        self.codes = codes


async def read(connection: Connection, leases: Leases, shards: Sequence[int]) -> None:
    """Read the shards' leases, without a lock."""
    if leases.budgets:
        cursor = await connection.execute(_READ, (list(leases.budgets), list(shards)))
        leases.know(await cursor.fetchall())


async def hold(
    connection: Connection, leases: Leases, shards: Sequence[int], also: Set[str]
) -> set[int]:
    """Lock the shards' leases, under their heads, and those to which something is given back (and
    `also` these); the shards where they are not as was read."""
    leases.held = leases.of_all() | also
    if not leases.held:
        return set()
    cursor = await connection.execute(_HOLD, (sorted(leases.held), list(shards)))
    return leases.know(await cursor.fetchall())


async def draw(connection: Connection, leases: Leases, shards: int, *, call_back: bool) -> set[int]:
    """Draw what awards lacked; the shards that can be decided again with more.

    `shards`: how many the ledger has. `call_back`: whether to raise CallBack when what is lacking
    lies in other leases. Raises LockBefore.
    """
    if not leases.missing() or not await _to_be_had(connection, leases, call_back=call_back):
        return set()
    missing = leases.missing()
    totals = await _lock(connection, leases, {budget for budget, _ in missing})
    undrawn = {budget: leases.undrawn[budget] for budget, _ in missing}
    held: dict[str, int] | None = None
    taken: dict[LeaseKey, int] = {}
    for key, amount in missing.items():
        budget = key[0]
        left = undrawn[budget]
        if left < amount:
            if held is None:
                held = await _held(connection, leases, sorted(undrawn))
            others = held[budget] - leases.unused(key) if call_back else 0
            if left + others < leases.smallest(key):
                # What another shard has just drawn, and may not need, is only told after deciding.
                if not any(of == budget for of, _ in taken):
                    leases.final.add(key)
                continue
            if others:
                raise CallBack(leases.missing(), leases)
        even = totals[budget] // (shards * DRAWS_OF_SHARD)
        size = max(DRAW_LEAST, DRAW_AHEAD * amount, even)
        # Towards the end a shard takes its even part, so that little has to be called back.
        taken[key] = min(left, max(amount, min(size, left // shards)))
        undrawn[budget] = left - taken[key]
    leases.undrawn.update(undrawn)
    if not taken:
        return set()
    await _take(connection, taken)
    crash_point("budget.after_drawn")
    for key, amount in taken.items():
        leases.leased[key] += amount
    return {shard for _, shard in taken}


async def _to_be_had(connection: Connection, leases: Leases, *, call_back: bool) -> bool:
    """Whether some of what is lacking may be had; asked without a lock on the budgets, so that one
    which is spent but for a rest holds nobody up. What no shard holds only falls, so it was no less
    than what was read; leases are read after it, so nothing on its way to one is missed."""
    missing = leases.missing()
    few = sorted({budget for (budget, _), lack in missing.items() if leases.undrawn[budget] < lack})
    held = await _held(connection, leases, few) if few and call_back else {}
    for key in missing:
        budget = key[0]
        if budget in few:
            others = held[budget] - leases.unused(key) if call_back else 0
            if leases.undrawn[budget] + others < leases.smallest(key):
                leases.final.add(key)
    return bool(leases.missing())


async def _lock(connection: Connection, leases: Leases, wanted: set[str]) -> dict[str, int]:
    """Lock those of these budgets that have something undrawn, and read it; the totals of what is
    locked. Raises LockBefore."""
    fresh = {b for b in wanted if leases.undrawn[b] > 0 and b not in leases.locked}
    if fresh:
        if leases.sealed or (leases.locked and min(fresh) < max(leases.locked)):
            raise LockBefore
        await lock_all(connection, leases, sorted(fresh))
    return leases.locked


async def lock_all(connection: Connection, leases: Leases, wanted: Sequence[str]) -> None:
    """Lock these budgets, by id."""
    cursor = await connection.execute(LOCK, (list(wanted),))
    for budget, left, total in await cursor.fetchall():
        leases.undrawn[budget], leases.locked[budget] = left, total


async def _held(connection: Connection, leases: Leases, budgets: list[str]) -> dict[str, int]:
    """What of each budget leases hold that the batch does not use itself (what it gives back is not
    theirs before COMMIT); those that lack some are counted too, since it is of no use to them."""
    own = sorted(leases.rooms)
    cursor = await connection.execute(_HELD, (budgets, own))
    held = dict.fromkeys(budgets, 0) | dict(await cursor.fetchall())
    for shard in own:
        for budget in budgets:
            held[budget] += leases.unused((budget, shard))
    return held


async def _take(connection: Connection, taken: dict[LeaseKey, int]) -> None:
    of_budgets: dict[str, int] = {}
    for (budget, _), amount in taken.items():
        of_budgets[budget] = of_budgets.get(budget, 0) + amount
    await connection.execute(TAKE, (list(of_budgets), list(of_budgets.values())))
    await lease(connection, taken)


async def lease(connection: Connection, amounts: dict[LeaseKey, int]) -> None:
    """Add to these leases, or take off them."""
    budgets = [budget for budget, _ in amounts]
    shards = [shard for _, shard in amounts]
    await connection.execute(_LEASE, (budgets, shards, list(amounts.values())))


async def spend(connection: Connection, used: dict[LeaseKey, int]) -> None:
    """Take off the leases what the append uses of them, or add what it gives back."""
    budgets = [budget for budget, _ in used]
    shards = [shard for _, shard in used]
    await connection.execute(_SPEND, (budgets, shards, list(used.values())))


_SPENT = "SELECT coalesce(sum(spent), 0)::bigint FROM ledger.budget_leases WHERE budget = %s"


async def spent(connection: Connection, budget: str) -> int:
    """What is spent of a budget; 0 when there is none of this id."""
    row = await (await connection.execute(_SPENT, (budget,))).fetchone()
    assert row is not None
    return int(row[0])
