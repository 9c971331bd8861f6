"""Dead letters: looked at, retried exactly once, discarded, erased with their member."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from msgspec.structs import replace

from ledger.core.program.form import Program
from ledger.errors import DeadLetterUnavailable
from ledger.received import Received, RecordRef, received, undecodable
from ledger.settings import Settings
from schemas.decode import decode_record
from schemas.inputs import InputEvent
from tests.ledger.events import (
    direct,
    erased,
    purchase,
    records,
    reserve,
    returned,
    reward,
    stretch,
    survey,
    updated,
)
from tests.ledger.opened import instant, opened, run


def test_retried_exactly_once(settings: Settings) -> None:
    bad = undecodable(RecordRef("purchases", 0, 0, b"m1", b"?"), "not_json", "$", "Not JSON.")
    good = received(purchase("m1", "o1"), RecordRef("purchases", 0, 0, b"m1", b"?"))

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle([bad], stretch(0, 1))
            (letter,) = await ledger.dead_letters()
            (again,) = await ledger.handle([bad], retry_of=letter.id)
            assert again.kind == "dead_lettered"
            assert (await ledger.dead_letter(letter.id)).attempts == 2
            both = await asyncio.gather(
                ledger.handle([good], retry_of=letter.id),
                ledger.handle([good], retry_of=letter.id),
                return_exceptions=True,
            )
            assert sorted(type(each).__name__ for each in both) == ["DeadLetterUnavailable", "list"]
            assert (await ledger.dead_letter(letter.id)).status == "retried"
            assert await ledger.dead_letters() == []
            assert (await ledger.account("m1")).granted == 100
            # One input, counted once, under its own topic.
            assert await ledger.outcome_counts() == {("purchases", "applied"): 1}
            with pytest.raises(DeadLetterUnavailable):
                await ledger.handle([good], retry_of=letter.id)
            with pytest.raises(DeadLetterUnavailable):
                await ledger.handle([good], retry_of=999)
            with pytest.raises(DeadLetterUnavailable):
                await ledger.discard_dead_letter(letter.id, "a test", "me")

    run(test())


def test_a_direct_input_can_be_retried_from_its_letter(
    settings: Settings, program: Program
) -> None:
    """What was impossible yesterday (no program yet) is possible today."""

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1", currency="EUR")))
            (letter,) = await ledger.dead_letters()
            assert letter.value is not None
            event = decode_record(letter.value)
            assert event == purchase("m1", "o1", currency="EUR")
            right = received(replace(event, data=replace(event.data, currency="USD")))
            (outcome,) = await ledger.handle([right], retry_of=letter.id)
            assert outcome.kind == "applied"
            assert await ledger.outcome_counts() == {("direct", "applied"): 1}

    run(test())


RECORD = RecordRef("purchases", 0, 0, b"m1", b"?")


@pytest.mark.parametrize("record", [RECORD, None], ids=["of the record", "corrected by hand"])
def test_a_retried_return_waits_and_is_counted_where_its_letter_was(
    settings: Settings, record: RecordRef | None
) -> None:
    """Corrected by hand, it no longer comes with the record."""
    item = received(returned("m1", "o1", "r1"), record)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle([undecodable(RECORD, "x", "$", "x")], stretch(0, 1))
            (letter,) = await ledger.dead_letters()
            (outcome,) = await ledger.handle([item], retry_of=letter.id)
            assert outcome.kind == "waiting"
            assert await ledger.outcome_counts() == {("purchases", "waiting"): 1}
            await ledger.handle(direct(purchase("m1", "o1")))
            assert await ledger.outcome_counts() == {
                ("purchases", "applied"): 1,
                ("direct", "applied"): 1,
            }

    run(test())


def test_what_belongs_to_another_topic_is_never_decided(settings: Settings) -> None:
    """Who may write purchases may not grant rewards, give commands or erase members; nor does a
    retry of the record help."""
    strangers: list[InputEvent] = [
        reward("m1", "1:1:1"),
        reserve("m1", "r1"),
        erased("m1"),
        survey("m1"),
    ]

    async def test() -> None:
        async with opened(settings) as ledger:
            items = records(strangers)
            for outcome in await ledger.handle(items, stretch(0, len(items))):
                assert (outcome.kind, outcome.code) == ("dead_lettered", "wrong_topic")
            letters = await ledger.dead_letters(code="wrong_topic")
            for item, letter in zip(items, letters, strict=True):
                (again,) = await ledger.handle([item], retry_of=letter.id)
                assert (again.kind, again.code) == ("dead_lettered", "wrong_topic")
            assert (await ledger.account("m1")).version == 0
            (taken,) = await ledger.handle(
                records([reward("m1", "1:1:1")], topic="effects"), stretch(0, 1, topic="effects")
            )
            assert taken.kind == "applied"

    run(test())


def test_discarded_ones_stay_counted(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1", at=-99)))
            (letter,) = await ledger.dead_letters(code="no_program")
            assert await ledger.dead_letters(code="conflict") == []
            before = datetime.now(UTC)
            await ledger.discard_dead_letter(letter.id, "sent by a till in training", "anna")
            (given_up,) = await ledger.dead_letters("discarded")
            assert given_up.id == letter.id
            assert given_up.discard_reason == "sent by a till in training"
            assert given_up.discarded_by == "anna"
            assert given_up.closed_at is not None
            assert given_up.closed_at > before - timedelta(seconds=1)
            assert await ledger.outcome_counts() == {("direct", "dead_lettered"): 1}

    run(test())


def test_closed_ones_are_purged_by_age_and_open_ones_never(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(*(purchase("m1", f"o{n}", at=-99) for n in range(3))))
            first, second, third = await ledger.dead_letters()
            await ledger.discard_dead_letter(first.id, "a test", "me")
            between = datetime.now(UTC)
            await asyncio.sleep(0.01)
            await ledger.discard_dead_letter(second.id, "a test", "me")
            assert await ledger.purge_dead_letters(between) == 1
            assert [each.id for each in await ledger.dead_letters("discarded")] == [second.id]
            assert await ledger.purge_dead_letters(datetime.now(UTC) + timedelta(days=1)) == 1
            assert [each.id for each in await ledger.dead_letters()] == [third.id]
            assert await ledger.outcome_counts() == {("direct", "dead_lettered"): 3}

    run(test())


def test_pages(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(*(purchase("m1", f"o{n}", at=-99) for n in range(5))))
            first = await ledger.dead_letters(limit=3)
            rest = await ledger.dead_letters(limit=3, after=first[-1].id)
            assert [len(first), len(rest)] == [3, 2]

    run(test())


def test_profiles_are_kept_apart_and_erased(settings: Settings, owner: psycopg.Connection) -> None:
    """The log holds no profile; erasing leaves the account and nothing to compare contents with."""
    first = updated("m1", "u1", region="North", tags=("vip",))

    async def test() -> None:
        async with opened(settings) as ledger:
            other = updated("m1", "u1", region="South")
            outcomes = await ledger.handle(direct(first, first, other))
            assert [o.kind for o in outcomes] == ["applied", "duplicate", "dead_lettered"]
            await ledger.handle(direct(updated("m1", "u2", region=None, consents=("mail",))))
            assert owner.execute("SELECT member_id, profile FROM ledger.profiles").fetchall() == [
                ("m1", {"tags": ["vip"], "consents": ["mail"]})
            ]
            again = await ledger.handle(direct(first))
            assert again[0].kind == "duplicate"
            leaked = owner.execute(
                "SELECT count(*) FROM ledger.events WHERE convert_from(payload, 'UTF8')"
                " ~ 'North|South|vip|mail'"
            ).fetchone()
            assert leaked == (0,)

            await ledger.handle(direct(erased("m1"), updated("m1", "u3", at=6, region="North")))
            for table in ("profiles", "member_keys", "dead_letters"):
                left = owner.execute(f"SELECT count(*) FROM ledger.{table}".encode()).fetchone()
                assert left == (0,)
            assert (await ledger.handle(direct(other)))[0].kind == "duplicate"
            leaked = owner.execute(
                "SELECT count(*) FROM ledger.events WHERE convert_from(payload, 'UTF8') ~ 'North'"
            ).fetchone()
            assert leaked == (0,)

    run(test())


def test_a_letter_without_value(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle([Received()])
            (letter,) = await ledger.dead_letters()
            assert (letter.value, letter.source) == (None, "direct")

    run(test())


@pytest.mark.parametrize(
    ("timestamp", "code"), [(-1, None), (-(2**62), None), (2**62, None), (0, "from_future")]
)
def test_odd_times_of_arrival(settings: Settings, timestamp: int, code: str | None) -> None:
    """Where senders set them. Kafka says -1 when it does not know: then they bound nothing."""
    record = RecordRef("purchases", 0, 0, b"m1", b"?", timestamp=timestamp)
    item = received(purchase("m1", "o1"), record)

    async def test() -> None:
        async with opened(settings) as ledger:
            (outcome,) = await ledger.handle([item], stretch(0, 1))
            assert outcome.code == code
            if code is not None:
                (letter,) = await ledger.dead_letters()
                assert letter.record_timestamp == timestamp
                (outcome,) = await ledger.handle([item], retry_of=letter.id)
            assert outcome.kind == "applied"

    run(test())


def test_what_was_the_future_can_be_retried_later(settings: Settings) -> None:
    early = RecordRef("purchases", 0, 0, b"m1", b"?", timestamp=instant(1) // 1_000)
    item = received(purchase("m1", "o1", at=2), early)

    async def test() -> None:
        async with opened(settings) as ledger:
            (outcome,) = await ledger.handle([item], stretch(0, 1))
            assert outcome.code == "from_future"
            (letter,) = await ledger.dead_letters()
            (outcome,) = await ledger.handle([item], retry_of=letter.id)
            assert outcome.kind == "applied"

    run(test())


def test_letters_that_nobody_could_decode_are_erased_with_the_member_of_their_key(
    settings: Settings,
) -> None:
    """The bytes hold his data all the same. A key that can be no member_id belongs to nobody."""
    keys = [b"m1", b"m2", None, b"", b"m1\n", b"m 1", b"\xff", b"~anonymous"]
    bad = [
        undecodable(RecordRef("members", 0, offset, key, b"?"), "not_json", "$", "Not JSON.")
        for offset, key in enumerate(keys)
    ]

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(bad, stretch(0, len(bad), topic="members"))
            letters = await ledger.dead_letters()
            assert [letter.member_id for letter in letters] == ["m1", "m2", *[None] * 6]
            await ledger.handle(direct(erased("m1")))
            assert [letter.key for letter in await ledger.dead_letters()] == keys[1:]

    run(test())


def test_what_comes_again_of_an_erased_member_is_no_conflict(
    settings: Settings, owner: psycopg.Connection
) -> None:
    """The key of its first hash is gone, so nothing can be compared: a dead letter would keep what
    the member wanted to be forgotten."""
    first = updated("m1", "moves", at=1, region="north")
    new = updated("m1", "moves-again", at=6, region="south")
    again = updated("m1", "moves-once-more", at=7, region="east")

    async def test() -> None:
        async with opened(settings) as ledger:
            outcomes = await ledger.handle(direct(first, erased("m1"), new, first))
            assert [o.kind for o in outcomes] == ["applied", "applied", "refused", "duplicate"]
            outcomes = await ledger.handle(direct(again, first, new))
            assert [o.kind for o in outcomes] == ["refused", "duplicate", "duplicate"]
            assert await ledger.dead_letters() == []

    run(test())
    assert owner.execute("SELECT count(*) FROM ledger.member_keys").fetchone() == (0,)
