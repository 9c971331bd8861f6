"""Budgets of a program: what each counts, and how much of it one award needs.

A budget is one over all members and over all program versions that name its id. How much of it is
left is a fact from outside; nothing here knows it.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from ledger.core.program import form
from ledger.core.program.promo_codes import series_of

BudgetUnit = Literal["points", "times"]
"""What a budget counts: points awarded, or awards."""


class Budget(Struct, frozen=True):
    """A budget as a program version opens it. `total` in its `unit`."""

    id: str
    unit: BudgetUnit
    total: int

    def need(self, points: int) -> int:
        """What an award of so many points needs of it."""
        return points if self.unit == "points" else 1


def budgets_of(program: form.Program) -> Sequence[Budget]:
    """The budgets of a checked program: its own, and those of fixed promo codes whose uses are
    limited."""
    found = [
        Budget(budget.id, "points", budget.points)
        if budget.points is not None
        else Budget(budget.id, "times", budget.times or 0)
        for budget in program.budgets
    ]
    return found + [
        Budget(series.budget, "times", series.uses)
        for series in series_of(program).values()
        if series.code is not None and series.uses is not None
    ]
