"""Shards of one append draw on one budget: what they are paid is what they would be paid apart."""

import psycopg
import pytest

from ledger.core.program.form import Award, EarnRule, When
from ledger.settings import Settings
from ledger.sharding import shard_of
from tests.ledger.budgeted import spent_of
from tests.ledger.events import SHARDS
from tests.ledger.opened import opened, run
from tests.ledger.test_budgets_order import at_store, with_rules

LOW = next(f"m{n}" for n in range(99) if shard_of(f"m{n}", SHARDS) == 0)
HIGH = next(f"m{n}" for n in range(99) if shard_of(f"m{n}", SHARDS) == SHARDS - 1)


@pytest.mark.parametrize("together", [False, True])
def test_what_is_drawn_ahead_in_the_same_append(
    settings: Settings, owner: psycopg.Connection, together: bool
) -> None:
    left = SHARDS * 100
    big = left - left // SHARDS + 50  # fits beside 10, not beside what the other shard draws
    rules = (
        EarnRule(id="small", award=Award(fixed=10), budget="aaa", when=When(store="s1")),
        EarnRule(id="big", award=Award(fixed=big), budget="aaa", when=When(store="s2")),
    )

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_rules(*rules, aaa=left))
            one, two = at_store(LOW, "s1"), at_store(HIGH, "s2")
            if together:
                await ledger.handle([*one, *two])
            else:
                await ledger.handle(one)
                await ledger.handle(two)

    run(test())
    assert spent_of(owner, "aaa") == 10 + big


@pytest.mark.parametrize("together", [False, True])
def test_what_one_shard_took_and_could_not_use(
    settings: Settings, owner: psycopg.Connection, together: bool
) -> None:
    """Two awards of 300 in one shard, of which one fits into 500; 150 in another."""
    rules = (
        EarnRule(id="large", award=Award(fixed=300), budget="aaa", when=When(store="s1")),
        EarnRule(id="less", award=Award(fixed=150), budget="aaa", when=When(store="s2")),
    )
    second = next(f"m{n}" for n in range(99) if shard_of(f"m{n}", SHARDS) == 0 and f"m{n}" != LOW)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_rules(*rules, aaa=500))
            one = [*at_store(LOW, "s1"), *at_store(second, "s1")]
            two = at_store(HIGH, "s2")
            if together:
                await ledger.handle([*one, *two])
            else:
                await ledger.handle(one)
                await ledger.handle(two)

    run(test())
    assert spent_of(owner, "aaa") == 450
