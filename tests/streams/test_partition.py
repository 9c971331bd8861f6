"""The task of a partition number: order, offsets, waiting, stopping."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from faust.types import TP

from ledger.errors import WorkerStopped
from ledger.received import Received, SourcePosition
from streams.chunks import Chunk, Room, record_bytes
from streams.intake import reference
from streams.merge import Feed
from streams.partition import PartitionTask, checksum
from tests.streams.records import record

TOPICS = ("surveys", "purchases")
WAIT_SECONDS = 60.0


class Store:
    """Stands where the ledger does: remembers what was appended, may be told to hold."""

    def __init__(self) -> None:
        self.batches: list[list[Received]] = []
        self.positions: list[SourcePosition] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, batch: Sequence[Received], cursor: PartitionTask) -> None:
        await self.gate.wait()
        position = cursor.position(batch)
        self.batches.append(list(batch))
        self.positions.append(position)
        cursor.appended(position)

    def seen(self) -> list[tuple[str, int]]:
        refs = [received.record for batch in self.batches for received in batch]
        return [(ref.topic, ref.offset) for ref in refs if ref is not None]


class Rig:
    """A task with a fake end of the log for each topic."""

    def __init__(self, max_idle_seconds: float | None = 0.1) -> None:
        self.store = Store()
        self.room = Room()
        self.room.open([TP(topic, 0) for topic in TOPICS])
        self.ends = dict.fromkeys(TOPICS, (0, 0))
        self.failed: list[BaseException] = []
        self.task = PartitionTask(
            0,
            dict.fromkeys(TOPICS, (0, 0)),
            group="g",
            room=self.room,
            decode=self.decode,
            appender=self.store,
            slots=asyncio.Semaphore(2),
            high_water=lambda topic, _: self.ends[topic],
            max_idle_seconds=max_idle_seconds,
            fail=self.failed.append,
        )

    @staticmethod
    def decode(chunk: Chunk) -> Feed[Received]:
        """The time of a record is its key."""
        times = [int(r.key or b"0") for r in chunk.records]
        items = [
            Received(occurred_at=at, record=reference(r, None))
            for at, r in zip(times, chunk.records, strict=True)
        ]
        return Feed(times, [record_bytes(r) for r in chunk.records], items)

    def offer(self, topic: str, offset: int, *times: int, fetched_ms: int = 0) -> None:
        records = [
            record(offset + n, topic=topic, key=str(at).encode()) for n, at in enumerate(times)
        ]
        end = offset + len(times)
        size = sum(record_bytes(r) for r in records)
        self.room.put(TP(topic, 0), len(records), size)
        self.task.offer(Chunk(topic, 0, 1, fetched_ms, offset, end, records, size))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():  # noqa: ASYNC110 (any condition: no event to wait for)
                await asyncio.sleep(0.005)


def test_topics_are_merged_and_their_offsets_move_with_them() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.ends = {"surveys": (2, 0), "purchases": (3, 0)}
        rig.offer("purchases", 0, 10, 30, 50)
        rig.offer("surveys", 0, 20, 40)
        rig.task.start()
        await rig.until(lambda: rig.task.idle())
        assert rig.store.seen() == [
            ("purchases", 0),
            ("surveys", 0),
            ("purchases", 1),
            ("surveys", 1),
            ("purchases", 2),
        ]
        assert rig.task.positions() == {TP("surveys", 0): 2, TP("purchases", 0): 3}
        moved: dict[str, int] = dict.fromkeys(TOPICS, 0)
        for position in rig.store.positions:
            for move in position.moves:
                assert move.from_offset == moved[move.topic]
                moved[move.topic] = move.next_offset
        (last,) = [m for m in rig.store.positions[-1].moves if m.topic == "purchases"]
        assert last.last_checksum == checksum(b"50", b"{}")
        assert last.event_time is None
        assert rig.room.waiting() == 0
        await rig.task.stop(1.0)
        assert rig.failed == []

    asyncio.run(scenario())


def test_only_what_holds_no_record_is_noted_as_read() -> None:
    """Not a record that was taken off the queue and is not stored: its log could then lose it."""

    async def scenario() -> None:
        rig = Rig()
        rig.ends = {"surveys": (0, 0), "purchases": (4, 0)}
        rig.store.gate.clear()
        rig.offer("purchases", 0, 10, 30)
        rig.task.offer(Chunk("purchases", 0, 1, 0, 2, 4, [], 0))  # the end of a transaction
        rig.task.start()
        for _ in range(10):
            await asyncio.sleep(0)
            assert rig.task.reads() == {}
        rig.store.gate.set()
        await rig.until(lambda: rig.task.idle())
        assert rig.task.reads() == {("purchases", 0): (2, 4)}
        await rig.task.stop(1.0)

    asyncio.run(scenario())


def test_an_unread_topic_is_waited_for_only_so_long() -> None:
    async def scenario() -> None:
        rig = Rig(max_idle_seconds=0.5)  # not over at the first look, however slow the machine
        rig.ends = {"surveys": (1, 0), "purchases": (1, 0)}
        rig.offer("purchases", 0, 10)
        rig.task.start()
        await asyncio.sleep(0)
        assert rig.store.seen() == []
        await rig.until(lambda: rig.store.seen() == [("purchases", 0)])
        rig.offer("surveys", 0, 5)  # too late to go first, but not lost
        await rig.until(lambda: rig.task.idle())
        assert rig.store.seen() == [("purchases", 0), ("surveys", 0)]
        await rig.task.stop(1.0)

    asyncio.run(scenario())


def test_a_history_waits_until_the_topic_is_read() -> None:
    async def scenario() -> None:
        rig = Rig(max_idle_seconds=None)
        rig.ends = {"surveys": (1, 100), "purchases": (1, 100)}
        rig.offer("purchases", 0, 10, fetched_ms=100)
        rig.task.start()
        await asyncio.sleep(0.1)
        assert rig.store.seen() == []
        rig.offer("surveys", 0, 5, fetched_ms=100)
        await rig.until(lambda: rig.task.idle())
        assert rig.store.seen() == [("surveys", 0), ("purchases", 0)]
        await rig.task.stop(1.0)

    asyncio.run(scenario())


def test_a_history_asks_for_word_of_an_empty_topic_as_new_as_the_heads() -> None:
    async def scenario() -> None:
        rig = Rig(max_idle_seconds=None)
        rig.ends = {"surveys": (0, 99), "purchases": (1, 100)}
        rig.offer("purchases", 0, 10, fetched_ms=100)
        rig.task.start()
        await asyncio.sleep(0.05)
        assert rig.store.seen() == []
        rig.ends["surveys"] = (0, 100)
        await rig.until(lambda: rig.store.seen() == [("purchases", 0)])
        await rig.task.stop(1.0)

    asyncio.run(scenario())


def test_stopping_finishes_the_batch_in_flight_and_drops_the_rest() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.ends = {"surveys": (0, 0), "purchases": (1_200, 0)}
        rig.store.gate.clear()
        rig.offer("purchases", 0, *range(500))
        rig.offer("purchases", 500, *range(500, 1_000))
        rig.task.start()
        await rig.until(lambda: rig.task.oldest_unread() == 0 and not rig.task.idle())
        stopping = asyncio.create_task(rig.task.stop(WAIT_SECONDS))
        await asyncio.sleep(0)
        rig.store.gate.set()
        await stopping
        assert [len(batch) for batch in rig.store.batches] == [500]
        assert rig.task.positions()[TP("purchases", 0)] == 500

    asyncio.run(scenario())


def test_a_batch_that_does_not_end_is_given_up() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.store.gate.clear()
        rig.offer("purchases", 0, 1)
        rig.task.start()
        await rig.until(lambda: rig.task.oldest_unread() == 1)
        await rig.task.stop(0.05)
        assert rig.store.batches == []
        assert rig.failed == []

    asyncio.run(scenario())


def test_a_chunk_that_does_not_follow_is_refused_loudly() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.offer("purchases", 0, 1, 2)
        with pytest.raises(WorkerStopped, match="is next") as stopped:
            rig.offer("purchases", 3, 4)
        assert stopped.value.code == "worker_bug"

    asyncio.run(scenario())


def test_an_error_of_the_store_stops_the_worker() -> None:
    async def scenario() -> None:
        rig = Rig()
        error = WorkerStopped("no", "database_gone")

        async def refuse(batch: Sequence[Received], cursor: PartitionTask) -> None:
            raise error

        rig.store.append = refuse  # type: ignore[method-assign]
        rig.offer("purchases", 0, 1)
        rig.task.start()
        await rig.until(lambda: rig.failed == [error])

    asyncio.run(scenario())


def test_the_oldest_unread_time_holds_the_watermark_back() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.ends = {"surveys": (0, 0), "purchases": (4, 0)}
        assert rig.task.oldest_unread() == 0  # unread, and nothing known of it
        rig.store.gate.clear()
        rig.offer("purchases", 0, 70, 80)
        rig.task.start()
        await rig.until(lambda: rig.task.oldest_unread() == 0 and not rig.task.idle())
        rig.store.gate.set()
        await rig.until(lambda: len(rig.store.seen()) == 2)
        assert rig.task.oldest_unread() == 80  # two more are unread: not before the last one seen
        rig.offer("purchases", 2, 90, 100)
        await rig.until(lambda: rig.task.idle())
        assert rig.task.oldest_unread() is None
        rig.ends = {"surveys": (0, 5), "purchases": (4, 7)}
        assert rig.task.heard() == 5_000  # later records of surveys would not be known of
        await rig.task.stop(1.0)

    asyncio.run(scenario())
