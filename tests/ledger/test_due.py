"""Due rows and effects: a due row may come early, never late; effects are handed on in order."""

import asyncio

import psycopg
import pytest

from ledger import questions
from ledger.application import Ledger
from ledger.core.account import Account
from ledger.core.calendar import from_instant, to_instant
from ledger.core.program.timeline import Timeline
from ledger.core.settle import next_due
from ledger.core.tick import decide_tick
from ledger.notify import CHANNEL
from ledger.received import tick
from ledger.settings import Settings
from ledger.sharding import shard_of
from schemas.decisions import AccountEvent
from tests.ledger.events import SHARDS, direct, purchase, referral, shares_shard, survey
from tests.ledger.opened import TEST_SECONDS, instant, opened, run

ALL = range(SHARDS)


def test_due_accounts_and_their_ticks(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1", at=0), purchase("m2", "o2", at=1)))
            assert await ledger.due_accounts(ALL, instant(6.9), 10) == []
            assert await ledger.due_accounts(ALL, instant(7), 10) == ["m1"]
            assert await ledger.due_accounts(ALL, instant(9), 10) == ["m1", "m2"]
            assert await ledger.due_accounts(ALL, instant(9), 1) == ["m1"]
            await ledger.handle([tick("m1", instant(9)), tick("m2", instant(9))])
            assert await ledger.due_accounts(ALL, instant(9), 10) == []
            # They expire half a year after activation.
            assert await ledger.due_accounts(ALL, instant(200), 10) == ["m1", "m2"]

    run(test())


def test_a_row_that_came_early_is_put_right_by_a_tick(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1", at=0)))
            await ledger.handle(direct(purchase("m1", "o2", at=100)))
            # The second settled what the row named; it still names it.
            assert await ledger.due_accounts(ALL, instant(50), 10) == ["m1"]
            (outcome,) = await ledger.handle([tick("m1", instant(100))])
            assert outcome.position is None
            assert await ledger.due_accounts(ALL, instant(106.9), 10) == []
            assert await ledger.due_accounts(ALL, instant(107), 10) == ["m1"]

    run(test())


def test_a_row_put_later_is_forgotten_by_other_processes(settings: Settings) -> None:
    """One process believes in an early row that another has meanwhile put later, without an event:
    a new, earlier due moment must be written."""

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.handle(direct(survey("m1", at=0), purchase("m1", "o1", at=0)))
            await one.handle([tick("m1", instant(8))])
            # Due at the expiry of the survey's points; nothing to do until then.
            await one.handle(direct(purchase("m1", "o2", at=90)))
            await two.handle([tick("m1", instant(98))])
            await one.handle(direct(purchase("m1", "o3", at=99)))
            await two.handle([tick("m1", instant(99.5))])
            assert await one.due_accounts(ALL, instant(106.1), 10) == ["m1"]

    run(test())


def test_no_due_row_is_ever_late(settings: Settings, owner: psycopg.Connection) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            for number in range(40):
                ledger = (one, two)[number % 3 == 0]
                member = f"m{number % 3}"
                await ledger.handle(direct(purchase(member, f"o{number}", at=number * 2)))
                if number % 4 == 0:
                    member = f"m{(number + 1) % 3}"
                    await two.handle([tick(member, instant(number * 2))])
                for name in ("m0", "m1", "m2"):
                    due = next_due(await one.account(name), one.programs)
                    row = owner.execute(
                        "SELECT due_at FROM ledger.due WHERE member_id = %s", (name,)
                    ).fetchone()
                    if due is not None:
                        assert row is not None
                        assert to_instant(row[0]) <= due

    run(test())


def test_two_schedulers_at_once_settle_each_account_once(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        names = [f"m{number}" for number in range(60)]
        async with opened(settings) as one, opened(settings) as two:
            await one.handle(direct(*(purchase(name, f"o{name}", at=0) for name in names)))
            until = instant(7)

            async def settle(ledger: Ledger) -> None:
                while due := await ledger.due_accounts(ALL, until, 7):
                    await ledger.handle([tick(name, until) for name in due])

            await asyncio.gather(settle(one), settle(two), settle(two))
            for name in names:
                assert (await two.account(name)).balances().pending == 0
        rows = owner.execute(
            "SELECT count(*), count(DISTINCT account_id) FROM ledger.events"
            " WHERE type = 'AccountSettled'"
        ).fetchone()
        assert rows == (60, 60)

    run(test())


def test_the_due_ones_of_many_accounts_are_found_by_the_index(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings):
            pass

    run(test())
    owner.execute(
        "INSERT INTO ledger.due (shard, account_id, member_id, due_at)"
        " SELECT n %% %s, gen_random_uuid(), 'm' || n, to_timestamp(n)"
        " FROM generate_series(1, 60000) n",
        (SHARDS,),
    )
    owner.execute("ANALYZE ledger.due")
    plan = owner.execute(
        "EXPLAIN " + questions.DUE, (list(ALL), from_instant(100_000_000), 200)
    ).fetchall()
    text = "\n".join(str(line[0]) for line in plan)
    assert "Index Scan on due_at" in text or "using due_at" in text
    assert "Seq Scan" not in text


def test_effects_are_handed_on_in_order_until_noted(settings: Settings) -> None:
    shard = shard_of("referee", SHARDS)
    (other,) = shares_shard("referee", 1)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(survey("m1")))
            await ledger.handle(
                direct(
                    referral("referee", "m1"),
                    referral(other, "m1"),
                    purchase("referee", "o1", at=1),
                    purchase(other, "o2", at=1),
                )
            )
            pending = await ledger.pending_effects(shard, 10)
            assert [(position, n) for _, position, n, _ in pending] == [(3, 1), (4, 1)]
            assert {effect.target for *_, effect in pending} == {"m1"}
            assert len(await ledger.pending_effects(shard, 1)) == 1
            await ledger.mark_effects_published(shard, 3)
            assert [position for _, position, *_ in await ledger.pending_effects(shard, 9)] == [4]
            await ledger.mark_effects_published(shard, 4)
            await ledger.mark_effects_published(shard, 2)  # a late note moves nothing back
            assert await ledger.pending_effects(shard, 10) == []

    run(test())


def test_readers_are_told_after_the_commit(settings: Settings, url: str) -> None:
    async def test() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as listener:
            await listener.execute(f"LISTEN {CHANNEL}".encode())
            async with opened(settings) as ledger:
                told: set[int] = set()
                expected = {shard_of(f"m{n}", SHARDS) for n in range(30)}
                calls = [ledger.handle(direct(survey(f"m{n}"))) for n in range(30)]
                await asyncio.gather(*calls)
                times = 0
                async for notice in listener.notifies(timeout=TEST_SECONDS):
                    told |= {int(shard) for shard in notice.payload.split(",")}
                    times += 1
                    if told == expected:
                        break
                assert told == expected
                assert times < len(calls)

    run(test())


def test_a_tick_that_fails_disturbs_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(account: Account, until: int, programs: Timeline) -> list[AccountEvent]:
        if account.member_id == "m1":
            raise ZeroDivisionError("a bug")
        return decide_tick(account, until, programs)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1"), purchase("m2", "o2")))
            monkeypatch.setattr("ledger.deciding.decide_tick", broken)
            outcomes = await ledger.handle([tick("m1", instant(8)), tick("m2", instant(8))])
            assert [(o.kind, o.code) for o in outcomes] == [
                ("dead_lettered", "internal_error"),
                ("applied", None),
            ]
            # It is due again, and no letter piles up for each time that it fails.
            assert await ledger.due_accounts(ALL, instant(8), 10) == ["m1"]
            assert await ledger.dead_letters() == []

    run(test())
