"""Inputs whose sender named no moment: when one comes again, its moment is that of the first."""

import psycopg
import pytest
from msgspec.structs import replace

from ledger.errors import TakenBefore
from ledger.received import asked, tick
from ledger.settings import Settings
from schemas.decode import instant_of
from tests.ledger.events import purchase
from tests.ledger.opened import opened, run


def test_one_that_came_before_is_refused_and_nothing_of_its_call_is_stored(
    settings: Settings, owner: psycopg.Connection
) -> None:
    first, again = purchase("m1", "o1"), purchase("m1", "o1", at=3)
    other = purchase("m2", "o2")

    async def test() -> None:
        async with opened(settings) as ledger:
            (outcome,) = await ledger.handle([asked(first, timed=False)])
            assert outcome.kind == "applied"
            for repeated in (first, again):
                with pytest.raises(TakenBefore):
                    await ledger.handle([asked(other, timed=False), asked(repeated, timed=False)])
            (taken,) = (await ledger.taken([again])).values()
            assert taken.occurred_at == instant_of(first)
            same = replace(again, time=first.time)
            outcomes = await ledger.handle([asked(other, timed=False), asked(same)])
            assert [each.kind for each in outcomes] == ["applied", "duplicate"]

    run(test())
    counted = owner.execute(
        "SELECT outcome, sum(n)::int FROM ledger.outcome_counts GROUP BY outcome ORDER BY outcome"
    ).fetchall()
    assert counted == [("applied", 2), ("duplicate", 1)]


def test_two_of_one_call_are_refused(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            with pytest.raises(TakenBefore):
                await ledger.handle([asked(purchase("m1", "o1"), timed=False)] * 2)
            (told,) = await ledger.preview([tick("m1", instant_of(purchase("m1", "o1")))])
            assert told.account is not None
            assert not told.account.version

    run(test())
