"""Budgets and promo codes of several shards in one append: in which order they are locked, when
they are not, and what is decided again together."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from ledger import append, application
from ledger import budgets as rows
from ledger.application import Ledger
from ledger.core.program.duration import Ratio
from ledger.core.program.form import Award, Budget, EarnRule, Multiplier, When
from ledger.core.program.form import Program as Form
from ledger.core.program.load import load_program
from ledger.errors import AppendFailed
from ledger.received import Received
from ledger.settings import Settings
from ledger.sharding import shard_of
from schemas import inputs
from tests.ledger.budgeted import BONUS, spent_of, with_budgets
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import SHARDS, day, direct, head, purchase, returned
from tests.ledger.interleaved import interleave
from tests.ledger.opened import opened, run
from tests.ledger.test_promo_codes import (
    GIFT,
    left,
    made,
    naming,
    spent_of_radio,
    with_codes,
)

PATIENCE = 5
"""Seconds until what should not wait counts as waiting."""

ONE = "m1"
OTHER = next(f"m{n}" for n in range(99) if shard_of(f"m{n}", SHARDS) != shard_of(ONE, SHARDS))
"""Members of two shards."""


def with_rules(*rules: EarnRule, **budgets: int) -> Form:
    """The tests' program with these rules and budgets of points."""
    program = load_program(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name)
    return replace(
        program,
        effective_from=day(-0.5),
        earn=(*program.earn, *rules),
        budgets=tuple(Budget(id=name, points=points) for name, points in budgets.items()),
    )


def twice(of: str) -> Award:
    return Award(multiplier=Multiplier(of=of, by=Ratio(2, 1)))


def at_store(member: str, store: str) -> list[Received]:
    event = purchase(member, "o1", amount=1)
    return direct(replace(event, data=replace(event.data, store_id=store)))


def test_two_appends_that_need_two_budgets_in_opposite_order(
    settings: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = (
        EarnRule(id="r1", award=Award(fixed=10), budget="aaa", when=When(store="s1")),
        EarnRule(id="r2", award=twice("r1"), budget="bbb", when=When(store="s1")),
        EarnRule(id="r3", award=Award(fixed=10), budget="bbb", when=When(store="s2")),
        EarnRule(id="r4", award=twice("r3"), budget="aaa", when=When(store="s2")),
    )
    real, both = rows._take, asyncio.Event()
    takes: list[object] = []

    async def take(connection: Any, taken: Any) -> None:
        """Each goes on when the other has locked its first budget too."""
        await real(connection, taken)
        takes.append(taken)
        if len(takes) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), PATIENCE)

    monkeypatch.setattr(rows, "_take", take)

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.publish_program(with_rules(*rules, aaa=90_000, bbb=90_000))
            await two.reload_programs()
            await asyncio.gather(one.handle(at_store(ONE, "s1")), two.handle(at_store(OTHER, "s2")))
            for member in (ONE, OTHER):
                assert (await one.account(member)).granted == 20

    run(test())
    assert spent_of(owner, "aaa") == spent_of(owner, "bbb") == 20


def test_a_budget_spent_but_for_a_rest_holds_nobody_up(
    settings: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, stuck, go = append.store, asyncio.Event(), asyncio.Event()

    async def store(*args: Any) -> None:
        if not stuck.is_set():
            stuck.set()
            await go.wait()
        await real(*args)

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.publish_program(with_budgets(Budget(id="spring", points=BONUS - 1)))
            await two.reload_programs()
            monkeypatch.setattr(append, "store", store)
            slow = asyncio.create_task(one.handle(direct(purchase(ONE, "o1", amount=1))))
            await stuck.wait()
            try:
                quick = two.handle(direct(purchase(OTHER, "o2", amount=1)))
                await asyncio.wait_for(quick, PATIENCE)
            finally:
                go.set()
                await slow

    run(test())
    assert spent_of(owner) == 0


def test_a_purchase_asks_only_for_the_limited_codes_that_it_names(
    settings: Settings, owner: psycopg.Connection[Any]
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            named = naming(ONE, "o1", "radio")
            await ledger.handle(direct(named))
            with owner.transaction():
                owner.execute("SELECT FROM ledger.budget_leases FOR UPDATE")
                quick = ledger.handle(direct(naming(ONE, "o2", "spring"), naming(OTHER, "o3")))
                await asyncio.wait_for(quick, PATIENCE)
            await ledger.handle(direct(returned(ONE, "o1", "r1"), naming(OTHER, "o4", "spring")))

    run(test())
    assert spent_of_radio(owner) == 0


def test_a_small_award_that_comes_about_late_still_gets_the_rest(
    settings: Settings, owner: psycopg.Connection[Any]
) -> None:
    """Of `aaa` 70 can never be had; when `bbb` has paid, 10 are asked of it, and 20 are left."""
    rules = (
        EarnRule(id="big", award=Award(fixed=70), budget="aaa"),
        EarnRule(id="small", award=Award(fixed=10), budget="bbb"),
        EarnRule(id="more", award=twice("small"), budget="aaa"),
    )

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_rules(*rules, aaa=20, bbb=1_000))
            await ledger.handle(direct(purchase(ONE, "o1", amount=1)))
            assert (await ledger.account(ONE)).granted == 20

    run(test())
    assert (spent_of(owner, "aaa"), spent_of(owner, "bbb")) == (10, 10)


def test_draws_end_and_inputs_stand(
    settings: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(Budget(id="spring", points=1_000)))
            monkeypatch.setattr(application, "DRAW_ROUNDS_MAX", 0)
            (outcome,) = await ledger.handle(direct(purchase(ONE, "o1", amount=1)))
            assert outcome.kind == "applied"
            assert (await ledger.account(ONE)).granted == 0

    run(test())
    assert spent_of(owner) == 0


def test_too_many_rounds_store_nothing(
    settings: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(Budget(id="spring", points=1_000)))
            with monkeypatch.context() as patch:
                patch.setattr(application, "ROUNDS_MAX", 1)
                with pytest.raises(AppendFailed):
                    await ledger.handle(direct(purchase(ONE, "o1", amount=1)))
            assert spent_of(owner) == 0
            await ledger.handle(direct(purchase(ONE, "o1", amount=1)))

    run(test())
    assert spent_of(owner) == BONUS


def half_back(name: str, amount: int) -> inputs.PurchaseReturned:
    line = inputs.ReturnedLine("1", amount)
    return inputs.PurchaseReturned(
        **head(ONE, name, 1), data=inputs.ReturnData("o1", name, (line,))
    )


def test_who_counted_on_a_code_given_back_is_decided_again_with_the_return(
    settings: Settings,
    owner: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.publish_program(with_codes())
            await two.reload_programs()
            (code,) = await made(one, tmp_path, 1)
            bought = purchase(ONE, "o1", amount=2, promo_codes=(code,))
            await one.handle(direct(bought))
            batch = direct(half_back("r1", 2), naming(OTHER, "o2", code, at=2))
            await interleave(
                monkeypatch, one, batch, lambda: two.handle(direct(half_back("r2", 1)))
            )
            assert (await one.account(ONE)).granted == GIFT
            assert (await one.account(OTHER)).granted == 0

    run(test())
    assert left(owner) == [0]


def test_a_return_of_an_award_whose_budget_was_published_while_reading(
    settings: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, spring = rows.read, Budget(id="spring", points=1_000)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring))
            await ledger.handle(direct(purchase(ONE, "o0", amount=1)))
            monkeypatch.setattr(rows, "read", read_late(ledger))
            (outcome,) = await ledger.handle(direct(returned(ONE, "o1", "r1")))
            assert outcome.kind == "applied"

    def read_late(ledger: Ledger) -> Any:
        async def read(*args: Any) -> None:
            await real(*args)
            monkeypatch.setattr(rows, "read", real)
            gifts = Budget(id="gifts", times=3)
            await ledger.publish_program(with_budgets(spring, gifts, effective=0.5))
            event = purchase(ONE, "o1", at=0.6, amount=1)
            await ledger.handle(direct(replace(event, data=replace(event.data, channel="web"))))

        return read

    run(test())
    assert (spent_of(owner), spent_of(owner, "gifts")) == (BONUS, 0)
