"""How commands that came by Kafka ended is kept, once for each record, until it was told."""

from typing import Any

import msgspec

from ledger.received import RecordRef, received, undecodable
from ledger.settings import Settings
from schemas.outcomes import CommandOutcome
from tests.ledger.events import SHARDS, direct, head, purchase, records, reserve, stretch, survey
from tests.ledger.opened import opened, run


async def told(ledger: Any) -> list[CommandOutcome]:
    """Everything that is to be told, in order."""
    untold = await ledger.pending_outcomes(range(SHARDS), 100)
    return [msgspec.json.decode(one.event, type=CommandOutcome) for one in untold]


def test_each_way_in_which_a_command_ends_is_told(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(survey("m1")))
            good, late = reserve("m1", "h1", at=1), reserve("m1", "h2", at=1)
            wrong = survey("m1", name="x")
            items = records([good, good, msgspec.structs.replace(late, id="reserve-h1"), wrong], 0,
                            "commands")  # fmt: skip
            broken = RecordRef("commands", 0, 4, b"m1", b"{")
            items.append(undecodable(broken, "not_json", "$", "This is not JSON."))
            outcomes = await ledger.handle(items, stretch(0, 5, "commands"))
            found = await told(ledger)
            assert [one.data.outcome for one in found if one.subject] == [
                "applied", "duplicate", "dead_lettered", "dead_lettered",
            ]  # fmt: skip
            first, again, conflict, misplaced = (one for one in found if one.subject)
            assert first.data.balance is not None
            assert (first.data.balance.available, first.data.balance.reserved) == (199, 1)
            assert (first.data.shard, first.data.position) == (
                outcomes[0].shard, outcomes[0].position,
            )  # fmt: skip
            assert (again.data.shard, again.data.position) == (first.data.shard,
                                                              first.data.position)  # fmt: skip
            assert again.data.command_id == first.data.command_id == "reserve-h1"
            assert (conflict.data.code, misplaced.data.code) == ("conflict", "wrong_topic")
            (unread,) = (one for one in found if not one.subject)
            assert (unread.data.outcome, unread.data.code) == ("dead_lettered", "not_json")
            assert unread.data.record.offset == 4
            assert unread.data.command_id is None
            assert sorted(one.id for one in found) == [f"commands:0:{n}" for n in range(5)]

    run(test())


def test_an_outcome_is_a_cloud_event(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(records([reserve("m1", "h1")], 0, "commands"),
                                stretch(0, 1, "commands"))  # fmt: skip
            (one,) = await ledger.pending_outcomes(range(SHARDS), 100)
            event = msgspec.json.decode(one.event)
            assert (event["specversion"], event["type"]) == ("1.0", "command.outcome.v1")

    run(test())


def test_of_a_record_that_says_no_member_neither_key_nor_value_is_told(settings: Settings) -> None:
    """It may be as long as a record may be, with which an outcome would be too long to be sent; and
    it may be personal."""

    async def test() -> None:
        async with opened(settings) as ledger:
            broken = RecordRef("commands", 0, 0, b"anna@example.org" * 65_000, b"{")
            item = undecodable(broken, "not_json", "$", "This is not JSON.")
            await ledger.handle([item], stretch(0, 1, "commands"))
            (untold,) = await ledger.pending_outcomes(range(SHARDS), 100)
            assert untold.key is None
            assert b"anna" not in untold.event
            assert len(untold.event) < 1_000

    run(test())


def test_a_refusal_says_why(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(records([reserve("m1", "h1")], 0, "commands"),
                                stretch(0, 1, "commands"))  # fmt: skip
            (one,) = await told(ledger)
            assert (one.data.outcome, one.data.code) == ("refused", "not_enough_points")
            assert one.data.message == "0 points are available"
            assert one.data.position == 1

    run(test())


def test_nothing_is_told_of_what_did_not_come_by_that_topic(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(reserve("m1", "h1")))
            await ledger.handle(records([purchase("m1", "o1")]), stretch(0, 1))
            assert await told(ledger) == []

    run(test())


def test_what_was_told_is_forgotten_and_a_record_read_again_is_not_told_again(
    settings: Settings,
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            batch = records([reserve("m1", "h1")], 0, "commands"), stretch(0, 1, "commands")
            await ledger.handle(*batch)
            await ledger.forget_outcomes(await ledger.pending_outcomes(range(SHARDS), 100))
            await ledger.handle(*batch)
            assert await told(ledger) == []

    run(test())


def test_a_dead_letter_that_is_retried_has_a_second_outcome(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            broken = RecordRef("commands", 0, 0, b"m1", b"{")
            await ledger.handle(
                [undecodable(broken, "not_json", "$", "This is not JSON.")],
                stretch(0, 1, "commands"),
            )
            (letter,) = await ledger.dead_letters()
            right = reserve("m1", "h1")
            wrong = msgspec.structs.replace(right, time=head("m1", "x", 300_000)["time"])
            again = received(wrong, letter.record())
            await ledger.handle([again], retry_of=letter.id)  # from the future: stays dead
            await ledger.handle([received(right, letter.record())], retry_of=letter.id)
            first, second = sorted(await told(ledger), key=lambda one: one.id)
            assert (first.id, second.id) == ("commands:0:0", "commands:0:0:retried")
            assert (first.data.outcome, second.data.outcome) == ("dead_lettered", "refused")

    run(test())
