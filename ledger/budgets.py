"""Budgets over all members: their rows, the leases that shards hold of them, and how these move.

One row for each budget (`undrawn`: what no shard holds) and one for each budget and shard
(`leased`: what the shard may still spend, `spent`: what it has spent). Always

    total = undrawn + the sum over the shards of (leased + spent)

An append locks the leases of its shards under their heads, and a budget's row only to draw more:
where it then needs one of a lower id, or a lease that it had not locked (to give something back
that only the decision under the lock knows of), it begins anew with all of them.
What other shards hold is called back in a transaction of its own. Order of locks: heads, leases by
(budget, shard), promo codes, budgets by id. A budget is opened, or its total changed, by the
transaction that publishes the program version which says so.
"""

import asyncio
import random
from collections.abc import Sequence, Set

from ledger.core.program.budgets import Budget
from ledger.crash import crash_point
from ledger.errors import ProgramRefused
from ledger.leases import LeaseKey, Leases
from ledger.lookups import Connection

DRAW_LEAST = 500
"""What a shard draws at a time: an award of some points for each of a hundred purchases."""

DRAW_AHEAD = 8
"""Or so many times what it lacks now, so that at most one batch in so many is decided again."""

DRAWS_OF_SHARD = 64
"""A shard draws its even part of a large budget in so many times, each of which decides some inputs
again."""

CALL_BACKS_MAX = 20
"""Times that one batch calls leases back. Two that want the last points of a budget can take them
from each other; with pauses of random length one of them is through long before."""

CALL_BACK_PAUSE_SECONDS = 0.01
"""Longest pause after the first call-back; twice as long after the second, and so on."""

DRAW_ROUNDS_MAX = 20
"""Times that one append draws and decides again. All that is lacking is drawn at once; only an
award that comes about by another's (a multiplier) asks anew. Later ones find what there is."""

_READ = """
SELECT l.budget, l.shard, l.leased, b.undrawn
FROM ledger.budget_leases l JOIN ledger.budgets b ON b.id = l.budget
WHERE l.budget = ANY(%s) AND l.shard = ANY(%s) ORDER BY l.budget, l.shard
"""
_HOLD = _READ + " FOR UPDATE OF l"
_HOLD_ALL = (
    "SELECT budget, shard, leased FROM ledger.budget_leases WHERE budget = ANY(%s)"
    " ORDER BY budget, shard FOR UPDATE"
)
_LOCK = "SELECT id, undrawn, total FROM ledger.budgets WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_HELD = (
    "SELECT budget, sum(leased)::bigint FROM ledger.budget_leases"
    " WHERE budget = ANY(%s) AND shard <> ALL(%s) GROUP BY budget"
)
_TAKE = """
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
_KNOWN = """
SELECT b.id, b.unit, b.total, (
    SELECT coalesce(sum(spent), 0)::bigint FROM ledger.budget_leases WHERE budget = b.id
) FROM ledger.budgets b WHERE b.id = ANY(%s) ORDER BY b.id
"""
OPEN = "INSERT INTO ledger.budgets (id, unit, total, undrawn) VALUES (%s, %s, %s, %s)"
OPEN_LEASES = (
    "INSERT INTO ledger.budget_leases (budget, shard) SELECT %s, generate_series(0, %s - 1)"
)
_CHANGE = "UPDATE ledger.budgets SET total = %s, undrawn = undrawn + %s WHERE id = %s"
_EMPTY = "UPDATE ledger.budget_leases SET leased = 0 WHERE budget = %s"


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


# --- one append -----------------------------------------------------------------------------------


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
    cursor = await connection.execute(_LOCK, (list(wanted),))
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
    await connection.execute(_TAKE, (list(of_budgets), list(of_budgets.values())))
    await _lease(connection, taken)


async def _lease(connection: Connection, amounts: dict[LeaseKey, int]) -> None:
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


# --- calling back ---------------------------------------------------------------------------------


async def call_back(connection: Connection, wanted: CallBack, attempt: int) -> None:
    """Move what leases lack into them, from the budget and from other leases: a transaction of its
    own, after the append was given up. Then wait a little, longer at each `attempt`."""
    budgets = sorted({budget for budget, _ in wanted.missing})
    async with connection.transaction():
        rows = await (await connection.execute(_HOLD_ALL, (budgets,))).fetchall()
        used = wanted.leases.used()
        spare = {(b, n): leased - max(0, used.get((b, n), 0)) for b, n, leased in rows}
        found = await (await connection.execute(_LOCK, (budgets,))).fetchall()
        undrawn = {budget: left for budget, left, _ in found}
        moved: dict[LeaseKey, int] = {}
        taken = dict.fromkeys(budgets, 0)
        for key, amount in wanted.missing.items():
            budget, lack = key[0], amount
            part = min(lack, undrawn[budget])
            undrawn[budget] -= part
            taken[budget] += part
            lack -= part
            spare.pop(key, None)  # what it has and gets is not taken from it again
            donors = [other for other in spare if other[0] == budget and spare[other] > 0]
            for other in sorted(donors, key=lambda other: -spare[other]):
                part = min(lack, spare[other])
                spare[other] -= part
                moved[other] = moved.get(other, 0) - part
                lack -= part
            moved[key] = moved.get(key, 0) + amount - lack
        await _lease(connection, moved)
        await connection.execute(_TAKE, (list(taken), list(taken.values())))
        crash_point("budget.before_called_back")
    crash_point("budget.after_called_back")
    await asyncio.sleep(random.random() * CALL_BACK_PAUSE_SECONDS * (attempt - 1))


# --- opening --------------------------------------------------------------------------------------


async def open_budgets(connection: Connection, budgets: Sequence[Budget], shards: int) -> None:
    """Open a version's budgets, or change their totals; in the transaction that publishes it, under
    all heads. Raises ProgramRefused: budget_unit, budget_below_spent."""
    if not budgets:
        return
    ids = sorted(budget.id for budget in budgets)
    await connection.execute(_HOLD_ALL, (ids,))
    await connection.execute(_LOCK, (ids,))
    cursor = await connection.execute(_KNOWN, (ids,))
    known = {row[0]: row[1:] for row in await cursor.fetchall()}
    for budget in budgets:
        if budget.id not in known:
            await connection.execute(OPEN, (budget.id, budget.unit, budget.total, budget.total))
            await connection.execute(OPEN_LEASES, (budget.id, shards))
            continue
        unit, total, spent = known[budget.id]
        if unit != budget.unit:
            raise ProgramRefused(
                f"budget {budget.id} counts {unit} since it was opened, but here {budget.unit}:"
                " give the new budget another id.",
                "budget_unit",
            )
        if budget.total < spent:
            raise ProgramRefused(
                f"budget {budget.id} has a total of {budget.total}, but {spent} of it are spent:"
                f" give it at least {spent}, or end the rules that it pays for.",
                "budget_below_spent",
            )
        if budget.total < total:
            # What shards hold would go beyond the new total.
            await connection.execute(_EMPTY, (budget.id,))
            await connection.execute(
                "UPDATE ledger.budgets SET undrawn = total - %s WHERE id = %s", (spent, budget.id)
            )
        if budget.total != total:
            change = budget.total - total
            await connection.execute(_CHANGE, (budget.total, change, budget.id))
