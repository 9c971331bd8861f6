"""The watermark and the rounds of the scheduler."""

import asyncio
from collections.abc import Sequence

import pytest

from ledger.received import Outcome, Received, SourcePosition
from schemas.fields import Instant
from streams import scheduler
from streams.metrics import Metrics
from streams.scheduler import Scheduler, watermark

HOUR: Instant = 3_600_000_000


def test_the_watermark_stays_behind_the_clock_and_the_oldest_unread() -> None:
    assert watermark(10 * HOUR, HOUR, None) == 9 * HOUR
    assert watermark(10 * HOUR, HOUR, 20 * HOUR) == 9 * HOUR
    assert watermark(10 * HOUR, HOUR, 3 * HOUR) == 3 * HOUR
    assert watermark(10 * HOUR, HOUR, 0) == 0


class Due:
    """Accounts due, and what was settled."""

    def __init__(self, due: dict[int, list[str]]) -> None:
        self.due = due
        self.asked: list[tuple[tuple[int, ...], Instant]] = []
        self.settled: list[tuple[str, Instant]] = []

    async def due_accounts(
        self, shards: Sequence[int], until: Instant, limit: int
    ) -> Sequence[str]:
        self.asked.append((tuple(shards), until))
        return [m for shard in shards for m in self.due.get(shard, ())][:limit]

    async def handle(
        self, inputs: Sequence[Received], source: SourcePosition | None = None
    ) -> list[Outcome]:
        for received in inputs:
            tick = received.tick
            assert tick is not None
            self.settled.append((tick.member_id, tick.until))
            for members in self.due.values():
                if tick.member_id in members:
                    members.remove(tick.member_id)
        return [Outcome("applied") for _ in inputs]


def make(due: Due, unread: dict[int, Instant | None], heard: Instant = 10 * HOUR) -> Scheduler:
    return Scheduler(
        ledger=due,
        shards=8,
        stride=4,
        allowed_lateness=HOUR,
        now=lambda: 10 * HOUR,
        partitions=lambda: sorted(unread),
        oldest_unread=lambda partition: unread[partition],
        heard=lambda _: heard,
        metrics=Metrics(),
        on_fail=lambda error: None,
    )


def test_each_partition_settles_its_own_shards_up_to_its_own_watermark() -> None:
    due = Due({1: ["a"], 5: ["b"], 2: ["c"]})
    assert asyncio.run(make(due, {1: None, 2: 4 * HOUR}).round()) == 3
    assert due.settled == [("a", 9 * HOUR), ("b", 9 * HOUR), ("c", 4 * HOUR)]
    assert due.asked == [((1, 5), 9 * HOUR), ((2, 6), 4 * HOUR)]


def test_a_partition_of_which_nothing_is_known_stands_still() -> None:
    due = Due({1: ["a"]})
    assert asyncio.run(make(due, {1: 0}).round()) == 0
    assert due.asked == []


def test_a_worker_that_no_longer_hears_from_kafka_does_not_go_on_with_the_clock() -> None:
    """What arrived meanwhile is not known: it may be older than what the clock would settle."""
    due = Due({1: ["a"]})
    asyncio.run(make(due, {1: None}, heard=4 * HOUR).round())
    assert due.settled == [("a", 3 * HOUR)]


def test_many_due_accounts_go_in_several_appends() -> None:
    due = Due({0: [f"m{n}" for n in range(2 * scheduler.TICKS_AT_ONCE + 1)]})
    assert asyncio.run(make(due, {0: None}).round()) == 2 * scheduler.TICKS_AT_ONCE + 1
    assert due.due == {0: []}


def test_a_round_settles_so_many_and_leaves_the_rest_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two rounds live input has the heads for itself."""
    monkeypatch.setattr(scheduler, "ROUND_TICKS_MAX", 2 * scheduler.TICKS_AT_ONCE)
    due = Due({0: [f"m{n}" for n in range(5 * scheduler.TICKS_AT_ONCE)]})
    settling = make(due, {0: None})
    assert asyncio.run(settling.round()) == 2 * scheduler.TICKS_AT_ONCE
    assert len(due.due[0]) == 3 * scheduler.TICKS_AT_ONCE
    assert asyncio.run(settling.round()) == 2 * scheduler.TICKS_AT_ONCE
    assert len(set(due.settled)) == len(due.settled) == 4 * scheduler.TICKS_AT_ONCE
