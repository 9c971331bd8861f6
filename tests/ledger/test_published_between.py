"""A version that another process publishes is found under the locks of a batch that was begun by
the one before: its budgets count for that batch too."""

import psycopg
import pytest

from ledger.core.program.form import Budget
from ledger.settings import Settings
from tests.ledger.budgeted import BONUS, spent_of, with_budgets
from tests.ledger.events import direct, purchase
from tests.ledger.opened import opened, run


@pytest.mark.usefixtures("under_lock_max")
@pytest.mark.parametrize("warm", [False, True])
def test_budgets_that_appear_between(
    settings: Settings, owner: psycopg.Connection, *, warm: bool
) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            if warm:
                await one.handle(direct(*(purchase(f"m{n}", "o0", -5) for n in range(4))))
            await two.publish_program(with_budgets(Budget("spring", points=BONUS * 3)))
            assert not one._programs.has_budgets
            for order in ("o1", "o2"):
                await one.handle(direct(*(purchase(f"m{n}", order, 1) for n in range(4))))
            await two.handle(direct(*(purchase(f"m{n}", "o3", 2) for n in range(4))))

    run(test())
    assert spent_of(owner) == BONUS * 3
