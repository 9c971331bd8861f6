"""Ending what runs beside."""

import asyncio
from collections.abc import Collection
from typing import Any

AGAIN_SECONDS = 0.5
"""A task that was cancelled and goes on is cancelled again: `asyncio.wait_for`, which the database
pool waits with, loses a cancellation that comes in the moment in which its wait ends."""


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until they have ended; how they ended is not asked."""
    waiting: Collection[asyncio.Task[Any]] = tasks
    while waiting:
        for task in waiting:
            task.cancel()
        done, waiting = await asyncio.wait(waiting, timeout=AGAIN_SECONDS)
        for task in done:
            _ = task.cancelled() or task.exception()
