"""Ask again while Kafka or PostgreSQL is briefly away: for questions that change nothing."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from streams.append import is_transient

FIRST_SECONDS = 0.1
"""Longest first pause: a leader that moved is known by then."""

PAUSE_MAX_SECONDS = 3.0
"""Longest pause: how late the return of a server is noticed."""

T = TypeVar("T")


async def again(ask: Callable[[], Awaitable[T]], give_up_seconds: float) -> T:
    """The answer, within some `give_up_seconds`. Raises what the last try raised."""
    retrying = AsyncRetrying(
        retry=retry_if_exception(lambda e: isinstance(e, KafkaError) or is_transient(e)),
        wait=wait_random_exponential(FIRST_SECONDS, PAUSE_MAX_SECONDS),
        stop=stop_after_delay(give_up_seconds),
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            return await ask()
    raise AssertionError("tenacity either returns or raises")
