"""Calling back what other shards hold of a budget, for an append that needs it.

A transaction of its own, after the append was given up (`budgets.CallBack`) and before it begins
anew. The order of locks is that of `budgets`.
"""

import asyncio
import random

from ledger.budgets import HOLD_ALL, LOCK, TAKE, CallBack, lease
from ledger.crash import crash_point
from ledger.leases import LeaseKey
from ledger.lookups import Connection

CALL_BACKS_MAX = 20
"""Times that one batch calls leases back. Two that want the last points of a budget can take them
from each other; with pauses of random length one of them is through long before."""

CALL_BACK_PAUSE_SECONDS = 0.01
"""Longest pause after the first call-back; twice as long after the second, and so on."""


async def call_back(connection: Connection, wanted: CallBack, attempt: int) -> None:
    """Move what leases lack into them, from the budget and from other leases: a transaction of its
    own, after the append was given up. Then wait a little, longer at each `attempt`."""
    budgets = sorted({budget for budget, _ in wanted.missing})
    async with connection.transaction():
        rows = await (await connection.execute(HOLD_ALL, (budgets,))).fetchall()
        used = wanted.leases.used()
        spare = {(b, n): leased - max(0, used.get((b, n), 0)) for b, n, leased in rows}
        found = await (await connection.execute(LOCK, (budgets,))).fetchall()
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
        await lease(connection, moved)
        await connection.execute(TAKE, (list(taken), list(taken.values())))
        crash_point("budget.before_called_back")
    crash_point("budget.after_called_back")
    await asyncio.sleep(random.random() * CALL_BACK_PAUSE_SECONDS * (attempt - 1))
