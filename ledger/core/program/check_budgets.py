"""Checks of budgets: what each counts, and that every budget named is there."""

from ledger.core.program import form
from ledger.core.program.judge import Judge


def check_budgets(program: form.Program, judge: Judge) -> None:
    """Tell the judge the problems of budgets and of references to them."""
    judge.unique([budget.id for budget in program.budgets], "budgets")
    for i, budget in enumerate(program.budgets):
        given = (("points", budget.points), ("times", budget.times))
        judge.exactly_one("budget_kinds", "a budget", given, "budgets", i)
    for i, rule in enumerate(program.earn):
        _check_named(rule.budget, judge, "earn", i, "budget")
    for i, survey in enumerate(program.surveys):
        _check_named(survey.budget, judge, "surveys", i, "budget")


def _check_named(budget: str | None, judge: Judge, *path: str | int) -> None:
    if budget is not None and budget not in judge.names.budgets:
        judge.say("unknown_budget", f"there is no budget {budget} in budgets", *path)
