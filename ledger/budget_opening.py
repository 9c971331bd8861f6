"""Opening the budgets of a program version, and changing their totals.

Done by the transaction that publishes the version which says so. What is spent stays spent: a total
below it is refused, and what a budget counts never changes.
"""

from collections.abc import Sequence

from ledger.budgets import HOLD_ALL, LOCK
from ledger.core.program.budgets import Budget
from ledger.errors import ProgramRefused
from ledger.lookups import Connection

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


async def open_budgets(connection: Connection, budgets: Sequence[Budget], shards: int) -> None:
    """Open a version's budgets, or change their totals; in the transaction that publishes it, under
    all heads. Raises ProgramRefused: budget_unit, budget_below_spent."""
    if not budgets:
        return
    ids = sorted(budget.id for budget in budgets)
    await connection.execute(HOLD_ALL, (ids,))
    await connection.execute(LOCK, (ids,))
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
