"""Many appends at once in one process: never a gap, a double or a lost input.

What concurrent appends leave behind must be what some order of the same inputs, one by one, would
have left: for these inputs every order gives the same accounts.
"""

import asyncio

import psycopg
import pytest

from ledger.application import Ledger
from ledger.received import Received, tick
from ledger.settings import Settings
from ledger.sharding import shard_of
from schemas.inputs import PurchaseCompleted
from tests.ledger.events import SHARDS, direct, purchase, shares_shard, survey
from tests.ledger.interleaved import interleave
from tests.ledger.opened import instant, opened, postings_sum, run

WRITERS = 4
MEMBERS = 12
ROUNDS = 25

SMALL = 1_000
"""Amount of one purchase: 10 points, and all together below the first tier."""


def inputs_of(writer: int, start: int = 0) -> list[list[Received]]:
    """The batches of one writer, on members whom all writers share: half of the orders are its own,
    the other half another writer sends, too."""
    return [
        direct(
            *(
                purchase(
                    f"m{(n + number) % MEMBERS}",
                    f"{writer // 2}-{number}-{n}" if n % 2 else f"{writer}-{number}-{n}-own",
                    amount=SMALL,
                )
                for n in range(6)
            )
        )
        for number in range(start, start + ROUNDS)
    ]


def test_tasks_of_one_process(
    settings: Settings, owner: psycopg.Connection, under_lock_max: int
) -> None:
    sent: set[tuple[str, str]] = set()

    async def write(ledger: Ledger, writer: int) -> list[str]:
        kinds: list[str] = []
        for batch in inputs_of(writer):
            for item in batch:
                assert isinstance(item.event, PurchaseCompleted)
                sent.add((str(item.event.subject), item.event.data.order_id))
            kinds += [outcome.kind for outcome in await ledger.handle(batch)]
        return kinds

    async def test() -> None:
        async with opened(settings) as ledger:
            kinds = await asyncio.gather(*(write(ledger, writer) for writer in range(WRITERS)))
            every = [kind for each in kinds for kind in each]
            assert every.count("applied") == len(sent)
            assert len(every) == every.count("applied") + every.count("duplicate")
            assert len(every) > len(sent)
            assert under_lock_max or ledger.stats.decided_again > 0
            granted = [(await ledger.account(f"m{n}")).granted for n in range(MEMBERS)]
            assert sum(granted) == 10 * len(sent)

    run(test())
    assert postings_sum(owner) == 0
    assert gaps(owner) == 0


def test_two_ledgers_on_one_database(settings: Settings, owner: psycopg.Connection) -> None:
    """Two caches, each of which must notice what the other appended."""

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            for number in range(20):
                for at, ledger in enumerate((one, two, one)):
                    batch = direct(*(purchase("m1", f"{number}-{at}-{n}") for n in range(3)))
                    assert {o.kind for o in await ledger.handle(batch)} == {"applied"}
            assert (await one.account("m1")).purchases == 180
            assert one.cache.hits > 0  # of two calls in a row
            assert two.cache.hits == 0  # another had always appended

    run(test())
    assert gaps(owner) == 0


def test_head_moved_between_deciding_and_locking(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that looks at the tier: deciding on the state of before would award too little."""

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.handle(direct(survey("m1"), survey("m2")))
            await interleave(
                monkeypatch,
                one,
                direct(purchase("m1", "small", at=2), purchase("m2", "other", at=2)),
                lambda: two.handle(direct(purchase("m1", "big", at=1, amount=200_000))),
            )
            assert one.stats.decided_again == 1
            # Gold since the big purchase, so the small one earns twice.
            assert (await one.account("m1")).granted == 200 + 2_000 + 200
            assert (await one.account("m2")).granted == 200 + 100

    run(test())


def test_another_account_of_the_shard_moved_the_head(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (neighbour,) = shares_shard("m1", 1)

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.handle(direct(survey("m1"), survey(neighbour)))
            await interleave(
                monkeypatch,
                one,
                direct(purchase("m1", "o1")),
                lambda: two.handle(direct(purchase(neighbour, "o2"))),
            )
            assert one.stats.decided_again == 1
            # Its account left the cache, the untouched one stayed.
            assert one.cache.get(shard_of("m1", SHARDS), neighbour) is None
            assert one.cache.get(shard_of("m1", SHARDS), "m1") is not None

    run(test())


def test_the_same_input_taken_between_deciding_and_locking(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            same = direct(purchase("m1", "o1"))
            outcomes = await interleave(monkeypatch, one, same, lambda: two.handle(same))
            assert [outcome.kind for outcome in outcomes] == ["duplicate"]
            assert (await one.account("m1")).granted == 100
            assert await one.outcome_counts() == {
                ("direct", "applied"): 1,
                ("direct", "duplicate"): 1,
            }

    run(test())


def test_a_tick_and_a_purchase_at_once(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(*(purchase(f"m{n}", f"o{n}") for n in range(10))))
            ticks = [tick(f"m{n}", instant(8)) for n in range(10)]
            later = direct(*(purchase(f"m{n}", f"p{n}", at=9) for n in range(10)))
            await asyncio.gather(ledger.handle(ticks), ledger.handle(later), ledger.handle(ticks))
            for number in range(10):
                account = await ledger.account(f"m{number}")
                assert account.balances().available == 100
                assert account.balances().pending == 100

    run(test())


def gaps(connection: psycopg.Connection) -> int:
    """How many positions or versions are missing, and heads that say something else."""
    row = connection.execute("""
        SELECT (SELECT count(*) FROM ledger.heads h WHERE position <>
                   (SELECT count(*) FROM ledger.events e WHERE e.shard = h.shard))
             + (SELECT count(*) FROM (SELECT max(position) - count(*) AS missing
                   FROM ledger.events GROUP BY shard) s WHERE missing <> 0)
             + (SELECT count(*) FROM (SELECT max(version) - count(*) AS missing
                   FROM ledger.events GROUP BY shard, account_id) s WHERE missing <> 0)
    """).fetchone()
    assert row is not None
    return int(row[0])
