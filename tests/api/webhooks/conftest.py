"""A ledger to write on, a receiver, and a deliverer that runs beside the test."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from api.webhooks import subscriptions
from api.webhooks.deliverer import Deliverer
from api.webhooks.sending import Sender
from api.webhooks.subscriptions import NewWebhook
from tests.api.webhooks.receiver import WAIT_SECONDS, Receiver, receiving
from tests.projections.conftest import Shop, shop, template

__all__ = ["shop", "template"]
"""Fixtures that these tests share with the projections'."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server that takes everything unless it is told otherwise."""
    with receiving() as server:
        yield server


Add = Callable[..., NewWebhook]


@pytest.fixture
def add(shop: Shop, receiver: Receiver) -> Add:
    """Subscribe the receiver to types (everything, unless named)."""

    def subscribe(*types: str, url: str | None = None) -> NewWebhook:
        return subscriptions.add(
            shop.session, url or receiver.url, types or ["*"], "", "test", allow_private=True
        )

    return subscribe


@contextmanager
def delivering(url: str) -> Iterator[Deliverer]:
    """A deliverer in a thread of its own; stopped in order at the end."""
    made: list[Deliverer] = []
    failed: list[BaseException] = []
    begun = threading.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        made.append(Deliverer(url, Sender(allow_private=True)))
        begun.set()
        await made[0].run()

    def work() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:
            failed.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(WAIT_SECONDS)
    try:
        yield made[0]
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(made[0].stop)
        thread.join(WAIT_SECONDS)
    assert not failed, failed


def types_of(documents: Sequence[dict[str, str]]) -> list[str]:
    """Their types."""
    return [document["type"] for document in documents]
