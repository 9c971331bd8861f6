"""One ledger, one Kafka: the first worker's is recorded, another one is refused until adopted."""

from typing import Any

import psycopg
import pytest

from ledger.errors import OffsetGap, StartRefused
from ledger.feed import Feed, adopt, recorded_feed
from ledger.settings import Settings
from tests.ledger.events import GROUP, purchase, records, stretch
from tests.ledger.opened import opened, run


def code_of(error: pytest.ExceptionInfo[StartRefused]) -> str:
    return error.value.code


def test_the_first_is_recorded_and_others_are_refused(settings: Settings, url: str) -> None:
    async def test() -> None:
        assert recorded_feed(url) is None
        async with opened(settings) as ledger:
            await ledger.claim_feed(None, GROUP)  # brokers that do not tell
            await ledger.claim_feed("kafka-1", GROUP)
            assert recorded_feed(url) == Feed("kafka-1", GROUP)
            await ledger.claim_feed("kafka-1", GROUP)
            await ledger.claim_feed(None, GROUP)
            with pytest.raises(StartRefused) as refused:
                await ledger.claim_feed("kafka-2", GROUP)
            assert code_of(refused) == "other_kafka"
            with pytest.raises(StartRefused) as refused:
                await ledger.claim_feed("kafka-1", "others")
            assert code_of(refused) == "other_group"
            assert recorded_feed(url) == Feed("kafka-1", GROUP)

    run(test())


def test_adopting_forgets_the_offsets_and_stops_who_runs_on_them(
    settings: Settings, url: str
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.claim_feed("kafka-1", GROUP)
            await ledger.handle(records([purchase("m1", "o1")]), stretch(0, 1))
            assert adopt(url, Feed("kafka-2", "renamed")) == 1
            await ledger.claim_feed("kafka-2", "renamed")
            later = stretch(1, 2)
            (move,) = later.moves
            begun = type(later)(GROUP, 0, (type(move)(move.topic, 1, 2, begun=True),))
            with pytest.raises(OffsetGap) as stopped:
                await ledger.handle(records([purchase("m1", "o2")], first=1), begun)
            assert stopped.value.code == "offset_gone"
            assert await ledger.stream_positions(GROUP) == {}
            assert (await ledger.account("m1")).granted == 100

    run(test())


def test_only_the_owner_adopts(url: str, owner: psycopg.Connection[Any]) -> None:
    with pytest.raises(StartRefused) as refused:
        adopt(f"{url}?options=-c%20role%3Dpoints_app", Feed("kafka-1", GROUP))
    assert code_of(refused) == "not_the_owner"
    assert recorded_feed(url) is None
