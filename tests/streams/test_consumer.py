"""What was fetched reaches the delivery, whatever moment of a rebalance it comes in."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from streams.chunks import ChunkScheduler, Fetched, Room
from streams.consumer import ChunkConsumer

PLACE = TP("effects", 3)
AT_ONCE_SECONDS = 0.05
WAIT_SECONDS = 60.0


class Thread:
    """A fetching thread whose drain ends when the test says so."""

    _fetch_records = None

    def __init__(self, drain: Callable[[], Awaitable[dict[TP, Fetched]]]) -> None:
        self._drain = drain

    def _ensure_consumer(self) -> None: ...

    async def call_thread(self, *_: object, **__: object) -> dict[TP, Fetched]:
        return await self._drain()


class Consumer(ChunkConsumer):
    """A consumer without Faust's services."""

    def __init__(self, thread: Thread) -> None:
        self._delivery = SimpleNamespace(room=Room(), epoch=1)
        self._delivery.room.open([PLACE])
        self._thread: Any = thread
        self.scheduler = ChunkScheduler()
        self.can_resume_flow, self.suspend_flow = asyncio.Event(), asyncio.Event()
        self.app = SimpleNamespace(consumer_generation_id=1)

    @property
    def delivery(self) -> Any:
        return self._delivery

    @property
    def should_stop(self) -> bool:
        return False

    async def wait(self, event: Any, **_: object) -> Any:
        return await event.wait()


def drained(epoch: int) -> dict[TP, Fetched]:
    record = SimpleNamespace(
        offset=7, serialized_key_size=1, serialized_value_size=1, headers=(), key=b"k", value=b"v"
    )
    fetched = Fetched([record], epoch=epoch, from_offset=7, next_offset=8, fetched_ms=1)
    return {PLACE: fetched}


async def chunks_of(consumer: Consumer) -> list[tuple[int, int]]:
    return [
        (message.value.from_offset, message.value.next_offset)
        async for _, message in consumer.getmany(1.0)
    ]


def test_a_drain_that_ends_before_the_flow_goes_on_is_delivered() -> None:
    async def play() -> None:
        async def drain() -> dict[TP, Fetched]:
            consumer.stop_flow()  # a rebalance begins while the thread fetches …
            consumer.delivery.epoch = 2  # … and has sought when the fetch ends
            return drained(epoch=2)

        consumer = Consumer(Thread(drain))
        reading = asyncio.create_task(chunks_of(consumer))
        done, _ = await asyncio.wait({reading}, timeout=AT_ONCE_SECONDS)
        assert not done  # nothing is delivered before Faust lets it go on
        consumer.resume_flow()
        assert await asyncio.wait_for(reading, WAIT_SECONDS) == [(7, 8)]

    asyncio.run(play())


def test_a_drain_of_before_the_seek_is_not_delivered() -> None:
    async def play() -> None:
        async def drain() -> dict[TP, Fetched]:
            consumer.stop_flow()
            consumer.delivery.epoch = 2
            return drained(epoch=1)

        consumer = Consumer(Thread(drain))
        reading = asyncio.create_task(chunks_of(consumer))
        await asyncio.sleep(0)
        consumer.resume_flow()
        assert await asyncio.wait_for(reading, WAIT_SECONDS) == []

    asyncio.run(play())
