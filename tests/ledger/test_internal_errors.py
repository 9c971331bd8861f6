"""A bug of ours: a few inputs that meet it become dead letters, too many stop the append."""

from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from ledger.core.decide import decide
from ledger.dead_letters import again
from ledger.errors import InternalErrors
from ledger.received import asked
from ledger.settings import Settings
from tests.ledger.events import purchase, records, stretch
from tests.ledger.opened import opened, run

BROKEN = 3


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deciding fails on the first orders."""

    def failing(account: Any, event: Any, *rest: Any) -> Any:
        if event.data.order_id in {f"o{n}" for n in range(BROKEN)}:
            raise ZeroDivisionError("a bug")
        return decide(account, event, *rest)

    monkeypatch.setattr("ledger.deciding.decide", failing)


def tables(owner: psycopg.Connection) -> list[Any]:
    names = ("events", "inputs", "heads", "dead_letters", "outcome_counts", "stream_positions")
    return [
        owner.execute(f"SELECT t::text FROM ledger.{name} t ORDER BY 1".encode()).fetchall()
        for name in names
    ]


@pytest.mark.usefixtures("bug")
def test_what_a_sender_waits_for_keeps_its_dead_letter_too(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            (outcome,) = await ledger.handle([asked(purchase("m0", "o0"))])
            assert (outcome.kind, outcome.code) == ("dead_lettered", "internal_error")
            (letter,) = await ledger.dead_letters()
            assert letter.code == "internal_error"

    run(test())


def test_the_key_of_what_is_retried_never_stands_for_another_input(
    settings: Settings, bug: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = purchase("m0", "o0")
    other = replace(purchase("m0", "later"), id=first.id)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle([asked(first, keyed=True)])
            (letter,) = await ledger.dead_letters()
            monkeypatch.setattr("ledger.deciding.decide", decide)  # the bug is mended
            (retried,) = await ledger.handle([again(letter)], retry_of=letter.id)
            assert retried.kind == "applied"
            (refused,) = await ledger.handle([asked(other, keyed=True)])
            assert (refused.kind, refused.code) == ("dead_lettered", "conflict")
            (same,) = await ledger.handle([asked(first, keyed=True)])
            assert same.kind == "duplicate"

    run(test())


@pytest.mark.usefixtures("bug")
def test_nothing_is_stored_of_a_batch_with_too_many(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            # So that the stream's row is there: it is made before the append.
            await ledger.handle(records([purchase("m0", "first")]), stretch(0, 1))
            before = tables(owner)
            later = records([purchase(f"m{n}", f"o{n}") for n in range(10)], first=1)
            with pytest.raises(InternalErrors) as refused:
                await ledger.handle(later, stretch(1, 11), internal_errors_max=BROKEN - 1)
            assert refused.value.code == "internal_errors"
            assert tables(owner) == before
            outcomes = await ledger.handle(later, stretch(1, 11), internal_errors_max=BROKEN)
            assert [outcome.kind for outcome in outcomes] == ["dead_lettered"] * BROKEN + [
                "applied"
            ] * (10 - BROKEN)
            letters = await ledger.dead_letters(code="internal_error")
            assert [letter.offset for letter in letters] == [1, 2, 3]

    run(test())
