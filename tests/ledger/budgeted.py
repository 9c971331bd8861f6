"""Budgets in the ledger's tests: a program version that has some, and what must always be true.

`python -m tests.ledger.budgeted URL NUMBER` is a process that spends: it appends batches of
purchases by members of all shards until hardly any award is paid, and prints how many were.
"""

import asyncio
import sys
from typing import Any

import psycopg
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.core.program.form import Award, Budget, EarnRule, Survey, When
from ledger.core.program.form import Program as Form
from ledger.core.program.load import load_program
from ledger.settings import load_settings
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import PARTITIONS, SHARDS, day, direct, purchase

BONUS = 70
"""Points of the rule `bonus`, paid from the budget `spring`."""

MEMBERS = 40
BATCH = 30
UNPAID_MAX = 3
"""Batches in a row without a single award: then everything is spent."""


def with_budgets(*budgets: Budget, effective: float = -0.5, **more: Any) -> Form:
    """The tests' program with these budgets: `bonus` is paid from `spring`, and so is a survey;
    `gift` from `gifts`, where there is one."""
    program = load_program(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name)
    rules = [EarnRule(id="bonus", award=Award(fixed=BONUS), budget="spring")]
    if any(budget.id == "gifts" for budget in budgets):
        gift = EarnRule(id="gift", award=Award(fixed=5), budget="gifts", when=When(channel="web"))
        rules.append(gift)
    survey = Survey(id="paid", award=Award(fixed=40), budget="spring")
    return replace(
        program,
        effective_from=day(effective),
        earn=(*program.earn, *rules),
        surveys=(*program.surveys, survey),
        budgets=budgets,
        **more,
    )


def leases_of(owner: psycopg.Connection[Any], budget: str = "spring") -> dict[int, tuple[int, int]]:
    """(leased, spent) of each shard."""
    rows = owner.execute(
        "SELECT shard, leased, spent FROM ledger.budget_leases WHERE budget = %s", (budget,)
    )
    return {shard: (leased, spent) for shard, leased, spent in rows}


def spent_of(owner: psycopg.Connection[Any], budget: str = "spring") -> int:
    """What of the budget is spent; every sum that must be true of it is checked."""
    row = owner.execute(
        "SELECT total, undrawn FROM ledger.budgets WHERE id = %s", (budget,)
    ).fetchone()
    assert row is not None
    total, undrawn = row
    leases = leases_of(owner, budget)
    spent = sum(spent for _, spent in leases.values())
    assert total == undrawn + spent + sum(leased for leased, _ in leases.values())
    assert spent <= total
    in_log = dict.fromkeys(leases, 0) | dict(owner.execute(_IN_LOG, {"budget": budget}).fetchall())
    assert in_log == {shard: of_shard for shard, (_, of_shard) in leases.items()}
    return spent


_IN_LOG = """
SELECT shard, sum(amount)::bigint FROM (
    SELECT shard, (a -> 'budget' ->> 1)::bigint AS amount
    FROM ledger.events, jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb -> 'awards') a
    WHERE a -> 'budget' ->> 0 = %(budget)s
    UNION ALL
    SELECT shard, -(b ->> 1)::bigint
    FROM ledger.events, jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb -> 'budgets') b
    WHERE b ->> 0 = %(budget)s
) moves GROUP BY shard
"""


async def spend(ledger: Ledger, writer: str) -> int:
    """Buy until the budget is spent; the purchases made."""
    made = unpaid = 0
    while unpaid < UNPAID_MAX:
        members = [f"m{(made + n) % MEMBERS}" for n in range(BATCH)]
        events = [purchase(m, f"{writer}-{made + n}", amount=1) for n, m in enumerate(members)]
        before = await granted(ledger, members)
        assert {o.kind for o in await ledger.handle(direct(*events))} == {"applied"}
        made += BATCH
        unpaid = unpaid + 1 if await granted(ledger, members) == before else 0
    return made


async def granted(ledger: Ledger, members: list[str]) -> int:
    """What these members were granted in all."""
    return sum([(await ledger.account(member)).granted for member in set(members)])


async def _spend(url: str, number: str) -> int:
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    ledger = await Ledger.open(settings)
    try:
        return await spend(ledger, number)
    finally:
        await ledger.close()


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(_spend(sys.argv[1], sys.argv[2]))}\n")
