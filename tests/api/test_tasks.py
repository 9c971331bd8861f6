"""Ending a task that loses a cancellation, as `asyncio.wait_for` can."""

import asyncio

from api.tasks import ended


def test_a_task_that_loses_a_cancellation_ends_all_the_same() -> None:
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost > 1:
                    raise

    async def fails() -> None:
        raise ValueError

    async def story() -> None:
        tasks = [asyncio.create_task(deaf()), asyncio.create_task(fails())]
        await asyncio.sleep(0)
        await asyncio.wait_for(ended(*tasks), 20)
        assert all(task.done() for task in tasks)

    asyncio.run(story())
    assert lost == 2
