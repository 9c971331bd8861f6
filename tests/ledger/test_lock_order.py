"""What an append finds out only under its locks: it begins anew, so that all is locked in one order
everywhere, and no two wait for each other."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from ledger import budgets, promo_codes, stock
from ledger.core.program.form import Award, Bounds, CatalogueReward, EarnRule, When
from ledger.core.promo_codes import digest
from ledger.leases import Leases
from ledger.settings import Settings
from ledger.sharding import shard_of
from tests.ledger.budgeted import spent_of
from tests.ledger.events import SHARDS, claim, direct, purchase, returned, survey
from tests.ledger.interleaved import interleave
from tests.ledger.opened import opened, run
from tests.ledger.test_budgets_order import ONE, OTHER, with_rules
from tests.ledger.test_promo_codes import left, made, naming, spent_of_radio, with_codes


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What is locked, in that order: (what, which)."""
    found: list[tuple[str, object]] = []

    def spy(module: Any, name: str, what: str, place: int) -> None:
        real = getattr(module, name)

        async def locking(*args: Any) -> Any:
            result = await real(*args)
            found.append((what, args[place]))
            return result

        monkeypatch.setattr(module, name, locking)

    spy(budgets, "hold", "leases", 1)
    spy(promo_codes, "hold", "codes", 1)
    spy(budgets, "lock_all", "budgets", 2)
    spy(stock, "lock", "stock", 3)
    return found


def test_what_a_return_gives_back_is_locked_although_its_order_came_at_the_last_moment(
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
            bought = naming(ONE, "o1", code, "radio")
            locked = spied(monkeypatch)
            batch = direct(returned(ONE, "o1", "r1"))
            (outcome,) = await interleave(
                monkeypatch, one, batch, lambda: two.handle(direct(bought))
            )
            assert outcome.kind == "applied", "not waiting: it was decided again"
            *_, leases, codes = [which for what, which in locked if what in ("leases", "codes")]
            assert isinstance(leases, Leases)
            assert isinstance(codes, promo_codes.Codes)
            assert leases.held == {"promo_codes/radio"}
            assert codes.held == {digest(code.replace("-", ""))}

    run(test())
    assert left(owner) == [1]
    assert spent_of_radio(owner) == 0


def test_budgets_are_locked_before_the_stock_of_rewards(
    settings: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the last cup is gone is known under the lock of its stock; only then does the member
    have points enough for a rule that a budget pays."""
    rich = EarnRule(
        id="rich", award=Award(fixed=10), budget="aaa", when=When(balance=Bounds(at_least=200))
    )
    cups = (CatalogueReward(id="cup", points=150, kind="gift", stock=1),)
    assert shard_of(ONE, SHARDS) != shard_of(OTHER, SHARDS)

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.publish_program(replace(with_rules(rich, aaa=1_000), rewards=cups))
            await two.reload_programs()
            await one.handle(direct(survey(ONE), survey(OTHER)))
            locked = spied(monkeypatch)
            batch = direct(claim(ONE, "c1", "cup"), purchase(ONE, "o1", at=2, amount=1))
            sold = direct(claim(OTHER, "c2", "cup"))
            refused, bought = await interleave(monkeypatch, one, batch, lambda: two.handle(sold))
            assert (refused.code, bought.kind) == ("sold_out", "applied")
            order = [what for what, _ in locked if what in ("budgets", "stock")]
            assert order == ["stock", "stock", "budgets", "stock"], "the other's, and begun anew"

    run(test())
    assert spent_of(owner, "aaa") == 10
