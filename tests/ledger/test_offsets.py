"""Stored offsets move with the append: what is below them is skipped, a gap stops loudly."""

import psycopg
import pytest

from ledger.errors import BatchRefused, OffsetGap
from ledger.received import SourcePosition, TopicMove
from ledger.settings import Settings
from schemas.inputs import InputEvent
from tests.ledger.events import GROUP, direct, purchase, records, stretch, survey
from tests.ledger.opened import opened, run


def orders(first: int, count: int) -> list[InputEvent]:
    """Purchases of as many members."""
    return [purchase(f"m{n}", f"o{n}") for n in range(first, first + count)]


def test_offsets_move_with_the_append(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(records(orders(0, 3)), stretch(0, 3))
            await ledger.handle(records(orders(3, 2), first=5), stretch(3, 9))
            stored = await ledger.stream_positions(GROUP)
            assert stored["purchases", 0].next_offset == 9
            assert stored["purchases", 0].last_checksum == b"sum"
            assert await ledger.outcome_counts() == {("purchases", "applied"): 5}

    run(test())


def test_an_empty_stretch_moves_the_offset(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            assert await ledger.handle([], stretch(0, 4)) == []
            assert (await ledger.stream_positions(GROUP))["purchases", 0].next_offset == 4

    run(test())


def test_what_was_handled_before_is_skipped(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(records(orders(0, 3)), stretch(0, 3))
            again = await ledger.handle(records(orders(0, 5)), stretch(0, 5))
            assert [o.kind for o in again] == ["skipped"] * 3 + ["applied"] * 2
            zombie = await ledger.handle(records(orders(0, 2)), stretch(0, 2))
            assert [o.kind for o in zombie] == ["skipped"] * 2
            assert (await ledger.stream_positions(GROUP))["purchases", 0].next_offset == 5
            # Skipped records were counted when they were handled.
            assert await ledger.outcome_counts() == {("purchases", "applied"): 5}

    run(test())


def test_a_skipped_dead_letter_is_not_written_twice(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            bad: list[InputEvent] = [purchase("m1", "o1", at=100_000), purchase("m2", "o2")]
            await ledger.handle(records(bad), stretch(0, 2))
            again = await ledger.handle(records(bad), stretch(0, 2))
            assert [o.kind for o in again] == ["skipped", "skipped"]
            assert len(await ledger.dead_letters()) == 1

    run(test())


def test_a_gap_stops_loudly_and_stores_nothing(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(records(orders(0, 3)), stretch(0, 3))
            with pytest.raises(OffsetGap, match="up to 3"):
                await ledger.handle(records(orders(4, 1), first=4), stretch(4, 5))
            assert (await ledger.stream_positions(GROUP))["purchases", 0].next_offset == 3
            await ledger.handle(records(orders(3, 1), first=3), stretch(3, 4))

    run(test())
    assert owner.execute("SELECT sum(position) FROM ledger.heads WHERE shard >= 0").fetchone() == (
        4,
    )


def test_topics_of_one_batch_move_together(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            both = SourcePosition(
                GROUP, 0, (TopicMove("surveys", 0, 1), TopicMove("purchases", 0, 2))
            )
            inputs = [*records([survey("m1")], topic="surveys"), *records(orders(0, 2))]
            await ledger.handle(inputs, both)
            await ledger.handle(records(orders(2, 1), first=2), stretch(2, 3))
            # One topic is ahead of the zombie's batch, the other where it thinks.
            again = await ledger.handle(
                [*records([survey("m9")], topic="surveys", first=1), *records(orders(0, 4))],
                SourcePosition(
                    GROUP, 0, (TopicMove("surveys", 1, 2), TopicMove("purchases", 0, 4))
                ),
            )
            assert [o.kind for o in again] == ["applied"] + ["skipped"] * 3 + ["applied"]
            stored = await ledger.stream_positions(GROUP)
            assert {place: at.next_offset for place, at in stored.items()} == {
                ("purchases", 0): 4,
                ("surveys", 0): 2,
            }

    run(test())


def test_groups_and_partitions_are_apart(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(records(orders(0, 1), partition=1), stretch(0, 1, partition=1))
            await ledger.handle(records(orders(1, 1), partition=2), stretch(0, 1, partition=2))
            assert await ledger.stream_positions("other") == {}
            assert set(await ledger.stream_positions(GROUP)) == {("purchases", 1), ("purchases", 2)}

    run(test())


def test_a_batch_that_is_not_its_stretch_is_refused(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            with pytest.raises(BatchRefused):
                await ledger.handle(records(orders(0, 3)), stretch(0, 2))
            with pytest.raises(BatchRefused):
                await ledger.handle(records(orders(0, 1), topic="surveys"), stretch(0, 2))
            with pytest.raises(BatchRefused):
                await ledger.handle(direct(purchase("m1", "o1")), stretch(0, 2))

    run(test())


def test_what_was_read_past_the_end_waits_for_no_append(
    settings: Settings, owner: psycopg.Connection
) -> None:
    """It is noted again in seconds; whoever waited here for one row, holding another, could keep an
    append of several partitions waiting, and be kept by it."""

    def read_to() -> dict[int, int | None]:
        query = "SELECT partition, read_to FROM ledger.stream_positions ORDER BY partition"
        return dict(owner.execute(query).fetchall())

    async def test() -> None:
        async with opened(settings) as ledger:
            for partition in range(3):
                await ledger.handle([], stretch(0, 4, partition=partition))
            reads = {("purchases", partition): (4, 6) for partition in range(3)}
            reads["purchases", 2] = (3, 6)  # an append has passed it
            with psycopg.connect(settings.require_database_url()) as other:
                other.execute(
                    "SELECT 1 FROM ledger.stream_positions WHERE partition = 0 FOR UPDATE"
                )
                await ledger.note_read(GROUP, reads)
                assert read_to() == {0: None, 1: 6, 2: None}
            await ledger.note_read(GROUP, reads)
            assert read_to() == {0: 6, 1: 6, 2: None}
            await ledger.note_read(GROUP, {("purchases", 0): (4, 5)})
            assert read_to() == {0: 6, 1: 6, 2: None}, "never back"

    run(test())
