"""What a dead letter says of an input that came without a record, and why one cannot be retried."""

import pytest

from ledger.errors import DeadLetterUnavailable
from ledger.received import received
from ledger.settings import Settings
from tests.ledger.events import direct, purchase
from tests.ledger.opened import opened, run


def test_a_direct_input_is_told_by_its_member_and_its_type(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            (outcome,) = await ledger.handle(direct(purchase("m1", "o1", at=36_500)))
            assert (outcome.kind, outcome.code) == ("dead_lettered", "from_future")
            (letter,) = await ledger.dead_letters()
            assert (letter.source, letter.partition, letter.offset, letter.key) == (
                *("direct", None, None, None),
            )
            assert (letter.type, letter.member_id) == ("purchase.completed.v1", "m1")
            assert (letter.code, letter.status, letter.attempts) == ("from_future", "open", 1)

    run(test())


def test_a_letter_that_is_gone_and_one_that_is_closed_are_told_apart(settings: Settings) -> None:
    good = received(purchase("m1", "o1"))

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1", currency="EUR")))
            (letter,) = await ledger.dead_letters()
            with pytest.raises(DeadLetterUnavailable) as unknown:
                await ledger.handle([good], retry_of=letter.id + 1)
            await ledger.handle([good], retry_of=letter.id)
            with pytest.raises(DeadLetterUnavailable) as closed:
                await ledger.handle([good], retry_of=letter.id)
            assert unknown.value.code != closed.value.code == "closed"

    run(test())
