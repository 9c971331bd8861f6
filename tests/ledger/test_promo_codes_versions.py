"""Promo codes whose series is another one, or none, in the program version of the purchase."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.core.program.form import Award, Budget, EarnRule, PromoSeries, When
from ledger.core.program.form import Program as Form
from ledger.core.program.load import load_program
from ledger.settings import Settings
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import day, direct, purchase
from tests.ledger.opened import opened, run
from tests.ledger.test_promo_codes import GIFT, left, made, naming, statuses

SPRING = Budget(id="spring", points=100_000)
"""Of no rule; there is a budget, so what purchases use of budgets is looked at."""

ROUNDS_MAX = 2
"""How often a purchase may be decided again that names one code."""


def with_letters(effective: float, *series: PromoSeries) -> Form:
    """The tests' program with these series; a rule asks for `letter`, if that is one of them."""
    program = load_program(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name)
    rule = EarnRule(id="of-letter", award=Award(fixed=GIFT), when=When(promo_code="letter"))
    return replace(
        program,
        effective_from=day(effective),
        earn=(*program.earn, *([rule] if series else [])),
        promo_codes=series,
        budgets=(SPRING,),
    )


async def a_code(ledger: Ledger, tmp_path: Path) -> str:
    """Publish generated letters, and make one."""
    await ledger.publish_program(with_letters(-0.5, PromoSeries(id="letter")))
    (code,) = await made(ledger, tmp_path, 1)
    return code


@pytest.mark.parametrize("uses", [None, 5])
def test_a_series_that_gets_a_fixed_code_has_no_generated_ones(
    settings: Settings, owner: psycopg.Connection[Any], tmp_path: Path, uses: int | None
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            code = await a_code(ledger, tmp_path)
            fixed = PromoSeries(id="letter", code="LETTER26", uses=uses)
            await ledger.publish_program(with_letters(5, fixed))
            await ledger.handle(direct(naming("m1", "o1", code, at=6)))
            await ledger.handle(direct(naming("m1", "o2", "letter-26", at=7)))
            assert (await ledger.account("m1")).granted == GIFT

    run(test())
    assert statuses(owner) == [["unknown"], ["ok"]]
    assert left(owner) == [1]


@pytest.mark.parametrize("uses", [None, 1_000_000])
def test_a_spent_code_of_a_series_that_got_a_fixed_one_asks_for_no_budget(
    settings: Settings, owner: psycopg.Connection[Any], tmp_path: Path, uses: int | None
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            code = await a_code(ledger, tmp_path)
            await ledger.handle(direct(naming("m1", "o1", code)))
            fixed = PromoSeries(id="letter", code="LETTER26", uses=uses)
            await ledger.publish_program(with_letters(5, fixed))
            before = ledger.stats.decided_again
            (outcome,) = await ledger.handle(direct(naming("m2", "o2", code, at=6)))
            assert outcome.kind == "applied"
            assert ledger.stats.decided_again - before <= ROUNDS_MAX

    run(test())
    assert statuses(owner) == [["ok"], ["unknown"]]


def test_a_spent_code_named_after_its_series_was_removed(
    settings: Settings, owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            code = await a_code(ledger, tmp_path)
            await ledger.handle(direct(naming("m1", "o1", code)))
            await ledger.publish_program(with_letters(5))
            both = direct(purchase("m3", "o3", at=6), naming("m2", "o2", code, at=6))
            assert [one.kind for one in await ledger.handle(both)] == ["applied", "applied"]

    run(test())
    assert left(owner) == [0]


def test_a_late_purchase_from_before_the_series_names_a_spent_code(
    settings: Settings, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_letters(2, PromoSeries(id="letter")))
            (code,) = await made(ledger, tmp_path, 1)
            await ledger.handle(direct(naming("m1", "o1", code, at=3)))
            (outcome,) = await ledger.handle(direct(naming("m2", "o2", code, at=1)))
            assert outcome.kind == "applied"

    run(test())
