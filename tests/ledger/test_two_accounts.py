"""Inputs on two accounts: both or none, exactly once, whatever moves in between."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ledger.application import Ledger
from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from ledger.errors import AppendFailed
from ledger.received import Outcome, Received
from ledger.settings import Settings, load_settings
from ledger.sharding import shard_of
from schemas import inputs
from schemas.inputs import InputEvent
from tests.databases import new_ledger
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import (
    PARTITIONS,
    SHARDS,
    direct,
    erased,
    purchase,
    records,
    referral,
    reserve,
    returned,
    reward,
    shares_shard,
    stretch,
    survey,
    updated,
)
from tests.ledger.interleaved import interleave
from tests.ledger.opened import opened, postings_sum, run
from tests.ledger.pairs import BATCHES, PER_BATCH, RING, elsewhere, merge, ring, standing, transfer
from tests.ledger.test_concurrency import gaps
from tests.ledger.test_moved_heads import stored

PROCESSES = 8
PROCESS_SECONDS = 600

FAR, FARTHER = elsewhere("m1", count=2)
(NEAR,) = shares_shard("m1", 1)


@pytest.fixture(scope="session")
def program() -> Program:
    """The program of the other tests, with transfers."""
    text = PROGRAM.read_text(encoding="utf-8") + "transfers: {}\nclosing: {notice: P30D}\n"
    return load_program(text, PROGRAM.name)


@pytest.fixture(scope="session")
def template(server: str, admin: psycopg.Connection[Any], program: Program) -> Iterator[str]:
    """A database with an empty ledger of that program."""
    with new_ledger(server, admin, program, SHARDS) as name:
        yield name


def settings_of(url: str) -> Settings:
    return load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)


async def kinds(ledger: Ledger, *events: InputEvent) -> list[str]:
    """Handle the events together; how each ended, with the code of a refusal."""
    return [told(outcome) for outcome in await ledger.handle(direct(*events))]


def told(outcome: Outcome) -> str:
    return f"{outcome.kind}:{outcome.code}" if outcome.code else outcome.kind


async def points(ledger: Ledger, member: str) -> int:
    """What is left in the member's account, wherever it is."""
    balances = (await ledger.account(member)).balances()
    return balances.available + balances.pending + balances.reserved


@pytest.mark.parametrize("to", [FAR, NEAR])
def test_a_transfer_is_taken_once_on_both_accounts(
    settings: Settings, owner: psycopg.Connection, to: str
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), survey(to))
            given = transfer("m1", to, "t1", points=30)
            assert await kinds(ledger, given, given) == ["applied", "duplicate"]
            assert await kinds(ledger, given) == ["duplicate"]
            assert (await points(ledger, "m1"), await points(ledger, to)) == (170, 230)
            changed = transfer("m1", to, "t1", points=31)
            assert await kinds(ledger, changed) == ["dead_lettered:conflict"]

    run(test())
    rows = owner.execute("SELECT shard FROM ledger.inputs WHERE position > 0").fetchall()
    assert sorted(row[0] for row in rows).count(shard_of("m1", SHARDS)) >= 2
    assert postings_sum(owner) == 0
    assert gaps(owner) == 0


def test_transfers_of_one_batch_see_each_other(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), survey(FAR), survey(FARTHER))
            assert await kinds(
                ledger,
                transfer("m1", FAR, "1", points=200),
                transfer("m1", FAR, "2", points=1),
                transfer(FAR, FARTHER, "3", points=400),
                transfer(FARTHER, "m1", "4", points=600),
            ) == ["applied", "refused:not_enough_points", "applied", "applied"]
            assert await points(ledger, "m1") == 600

    run(test())


def test_the_cache_of_another_process_notices(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await kinds(one, survey("m1"), survey(FAR))
            assert await kinds(two, transfer(FAR, "m1", "t1", points=10)) == ["applied"]
            assert await kinds(one, transfer("m1", FAR, "t2", points=210)) == ["applied"]
            assert await kinds(two, transfer("m1", FAR, "t3")) == ["refused:not_enough_points"]
            assert await kinds(two, transfer(FAR, "m1", "t4", points=400)) == ["applied"]

    run(test())


RICH = direct(survey("m1"), survey(FAR), survey(FARTHER), survey(NEAR))
CASES: dict[str, tuple[list[Received], list[InputEvent], list[InputEvent], list[str]]] = {
    "the giver spends": (
        RICH,
        [transfer("m1", FAR, "t", at=2, points=200), survey(FAR, name="c2", at=2)],
        [reserve("m1", "r1", at=2)],
        ["refused:not_enough_points", "refused:already_rewarded"],
    ),
    "the receiver is closed": (
        RICH,
        [transfer("m1", FAR, "t", at=2, points=200), transfer("m1", FARTHER, "t2", at=2)],
        [standing(inputs.AccountClose, FAR)],
        ["refused:receiver_closed", "applied"],
    ),
    "the receiver is erased": (
        RICH,
        [transfer("m1", FAR, "t", at=6)],
        [erased(FAR)],
        ["refused:receiver_erased"],
    ),
    "a neighbour of the receiver buys": (
        RICH,
        [transfer("m1", FAR, "t", at=2), purchase(NEAR, "o1", at=2)],
        [purchase(shares_shard(FAR, 1)[0], "n1", at=2)],
        ["applied", "applied"],
    ),
    "a chain of transfers, and the last receiver gets more": (
        RICH,
        [
            transfer("m1", FAR, "1", at=2, points=200),
            transfer(FAR, FARTHER, "2", at=2, points=400),
            transfer(FARTHER, NEAR, "3", at=2, points=600),
        ],
        [survey(shares_shard(FARTHER, 1)[0])],
        ["applied", "applied", "applied"],
    ),
    "the same transfer": (
        RICH,
        [transfer("m1", FAR, "t", at=2, points=150)],
        [transfer("m1", FAR, "t", at=2, points=150)],
        ["duplicate"],
    ),
    "the other way round": (
        RICH,
        [transfer("m1", FAR, "t", at=2, points=300)],
        [transfer(FAR, "m1", "back", at=2, points=100)],
        ["applied"],
    ),
    "the member who buys is merged": (
        RICH,
        [purchase("m1", "o1", at=2), purchase(FAR, "o2", at=2)],
        [merge("m1", FAR)],
        ["applied", "applied"],
    ),
    "the member who buys is merged into one who was merged": (
        [*RICH, *direct(merge(FAR, FARTHER))],
        [purchase("m1", "o1", at=2), purchase(FAR, "o2", at=2)],
        [merge("m1", FARTHER)],
        ["applied", "applied"],
    ),
    "the account that inputs are forwarded to is merged on": (
        [*RICH, *direct(merge("m1", FAR))],
        [purchase("m1", "o1", at=2), returned("m1", "o1", "r1", at=3)],
        [merge(FAR, FARTHER)],
        ["applied", "applied"],
    ),
    "the account that inputs are forwarded to buys": (
        [*RICH, *direct(merge("m1", FAR))],
        [purchase("m1", "o1", at=2), transfer("m1", FARTHER, "t", at=2, points=400)],
        [purchase(FAR, "o9", at=2)],
        ["applied", "applied"],
    ),
    "the receiver is merged": (
        RICH,
        [transfer("m1", FAR, "t", at=2)],
        [merge(FAR, FARTHER)],
        ["refused:receiver_merged"],
    ),
    "both are merged into each other": (
        RICH,
        [merge("m1", FAR, at=2)],
        [merge(FAR, "m1")],
        ["refused:receiver_merged"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_batch_ends_as_if_it_had_come_second(
    name: str, url: str, other_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, batch, between, expected = CASES[name]

    async def raced() -> list[str]:
        async with opened(settings_of(url)) as one, opened(settings_of(url)) as two:
            await one.handle(before)
            await two.handle(direct(purchase("warm", "w")))
            outcomes = await interleave(
                monkeypatch, one, direct(*batch), lambda: two.handle(direct(*between))
            )
            return [told(outcome) for outcome in outcomes]

    async def one_after_the_other() -> list[str]:
        async with opened(settings_of(other_url)) as ledger:
            await ledger.handle(before)
            await ledger.handle(direct(purchase("warm", "w")))
            await ledger.handle(direct(*between))
            return await kinds(ledger, *batch)

    assert run(raced()) == expected
    assert run(one_after_the_other()) == expected
    assert stored(url) == stored(other_url)


def test_a_merged_account_passes_its_inputs_on(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, purchase("m1", "o1"), survey(FAR))
            assert await kinds(ledger, merge("m1", FAR), purchase("m1", "o2", at=2)) == [
                "applied",
                "applied",
            ]
            assert await points(ledger, FAR) == 200 + 100 + 100
            assert await points(ledger, "m1") == 0
            again = [purchase("m1", "o1"), purchase("m1", "o2", at=2)]
            assert await kinds(ledger, *again) == ["duplicate", "duplicate"]
            assert await kinds(ledger, survey("m1", at=3)) == ["refused:already_rewarded"]
            assert await kinds(ledger, returned("m1", "o1", "r1", at=4)) == ["applied"]
            assert await kinds(ledger, returned(FAR, "o2", "r2", at=4)) == ["applied"]
            assert await points(ledger, FAR) == 200
            assert (await ledger.account("m1")).version == 5, "one for each passed on"

    run(test())
    assert postings_sum(owner) == 0
    assert gaps(owner) == 0


def test_a_chain_of_merges_is_followed(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await kinds(one, survey("m1"), survey(FAR), survey(FARTHER))
            await kinds(one, merge("m1", FAR), merge(FAR, FARTHER))
            assert await kinds(two, purchase("m1", "o1", at=2)) == ["applied"]
            assert await points(one, FARTHER) == 700
            assert await kinds(two, transfer("m1", "m1", "t", at=2)) == ["refused:receiver_merged"]
            assert await kinds(two, transfer("m1", FARTHER, "t2", at=2)) == [
                "refused:transfer_to_self"
            ]
            assert await kinds(two, merge("m1", FARTHER, at=3)) == ["refused:account_merged"]

    run(test())


def test_a_referrer_may_be_the_account_that_another_input_is_passed_on_to(
    settings: Settings,
) -> None:
    """A referrer is read without its shard's head; whoever decides is read after it."""

    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), survey(FAR))
            assert await kinds(ledger, merge("m1", FAR)) == ["applied"]
        async with opened(settings) as ledger:
            both = referral(FARTHER, FAR), purchase("m1", "p9")
            assert await kinds(ledger, *both) == ["applied", "applied"]
            assert await points(ledger, FAR) == 500
            assert await kinds(ledger, referral("m1", FAR)) == ["refused:self_referral"]

    run(test())


def test_an_erased_member_on_the_way_does_not_end_it(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), survey(FAR), survey(FARTHER))
            await kinds(ledger, merge("m1", FAR), merge(FAR, FARTHER))
            assert await kinds(ledger, erased(FAR)) == ["applied"]
            assert await points(ledger, FARTHER) == 600
            assert await kinds(ledger, purchase("m1", "p9", at=6)) == ["applied"]
            assert await points(ledger, FARTHER) == 700
            assert await kinds(ledger, purchase(FAR, "p8", at=6)) == ["refused:account_erased"]
            given = transfer(FAR, FARTHER, "t1", at=6)
            assert await kinds(ledger, given) == ["refused:account_erased"]

    run(test())


def test_a_return_waits_across_a_merge_and_its_count_moves_once(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), survey(FAR))
            assert await kinds(ledger, returned("m1", "o1", "r1")) == ["waiting"]
            await kinds(ledger, merge("m1", FAR))
            assert await kinds(ledger, returned("m1", "o2", "r2", at=2)) == ["waiting"]
            assert await kinds(ledger, purchase("m1", "o1", at=2)) == ["applied"]
            assert await kinds(ledger, purchase(FAR, "o2", at=2)) == ["applied"]
            counts = await ledger.outcome_counts_by_type()
            assert counts["direct", "purchase.returned.v1", "applied"] == 2
            assert ("direct", "purchase.returned.v1", "waiting") not in counts
            assert await kinds(ledger, returned("m1", "o3", "r3", at=3)) == ["waiting"]
            assert await kinds(ledger, survey(FAR, at=60, name="c2")) == [
                "refused:already_rewarded"
            ]
            counts = await ledger.outcome_counts_by_type()
            assert counts["direct", "purchase.returned.v1", "refused"] == 1, "at its deadline"

    run(test())


def test_a_return_of_an_order_long_over_is_known_under_the_id_that_bought_it(
    settings: Settings,
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, purchase("m1", "o1"), survey(FAR))
            await kinds(ledger, merge("m1", FAR, at=1))
            late = ["refused:return_window_over"]
            assert await kinds(ledger, survey(FAR, at=90, name="c2"))
            assert await kinds(ledger, returned("m1", "o1", "r1", at=91)) == late
            assert await kinds(ledger, returned(FAR, "o1", "r2", at=91)) == late
            assert await kinds(ledger, returned(FAR, "o7", "r3", at=91)) == ["waiting"]

    run(test())


def test_a_late_return_is_refused_whether_or_not_the_merge_is_in_its_batch(
    settings: Settings,
) -> None:
    """The order is forgotten, was bought as one member, and comes back as the other."""

    async def told_of_both(buyer: str, other: str, *, together: bool) -> list[str]:
        async with opened(settings) as ledger:
            await kinds(ledger, purchase(buyer, f"p-{buyer}", 0), survey(other))
            await kinds(ledger, purchase(buyer, f"q-{buyer}", 900))
            both = merge(buyer, other, 901), returned(other, f"p-{buyer}", "r1", 902)
            if together:
                return await kinds(ledger, *both)
            return [*await kinds(ledger, both[0]), *await kinds(ledger, both[1])]

    async def test() -> None:
        expected = ["applied", "refused:return_window_over"]
        assert await told_of_both("m1", FAR, together=True) == expected
        assert await told_of_both("m2", FARTHER, together=False) == expected

    run(test())


def test_a_referrers_reward_reaches_the_account_that_stays(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), survey(FAR))
            await kinds(ledger, merge("m1", FAR))
            assert await kinds(ledger, referral("m2", "m1", at=2)) == ["applied"]
            assert await kinds(ledger, reward("m1", "1:1:1", at=3)) == ["applied"]
            assert await kinds(ledger, reward("m1", "1:1:1", at=3)) == ["duplicate"]
            assert await points(ledger, FAR) == 500

    run(test())


def test_a_closed_members_referrals_are_refused(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), standing(inputs.AccountClose, "m1"))
            assert await kinds(ledger, referral("m2", "m1", at=2)) == ["refused:referrer_closed"]
            assert await kinds(ledger, reward("m1", "1:1:1", at=3)) == ["refused:account_closed"]

    run(test())


def test_who_is_merged_again_and_again_is_not_followed_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.application.FOLLOWS_MAX", 1)

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await kinds(one, survey("m1"), survey(FAR))
            bought = direct(purchase("m1", "o1", at=2))
            with pytest.raises(AppendFailed):
                await interleave(monkeypatch, one, bought, lambda: kinds(two, merge("m1", FAR)))
            assert [o.kind for o in await one.handle(bought)] == ["applied"], "nothing was stored"
            assert await points(one, FAR) == 500

    run(test())


def test_a_merged_account_keeps_its_profile_out_of_the_log(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), survey(FAR), merge("m1", FAR))
            assert await kinds(ledger, updated("m1", "u1", at=2, region="secret-place")) == [
                "refused:account_merged"
            ]
            assert await kinds(ledger, erased("m1")) == ["applied"]
            assert await kinds(ledger, purchase("m1", "o1", at=6)) == ["refused:account_erased"]

    run(test())
    row = owner.execute(
        "SELECT count(*) FROM ledger.events WHERE convert_from(payload, 'UTF8') LIKE '%%secret%%'"
    ).fetchone()
    assert row == (0,)


def test_a_bug_on_the_second_account_leaves_both_as_they_were(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, owner: psycopg.Connection
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), survey(FAR))
            monkeypatch.setattr("ledger.core.pairs.receive", broken)
            assert await kinds(
                ledger, transfer("m1", FAR, "t1", points=50), purchase("m1", "o1", at=2)
            ) == ["dead_lettered:internal_error", "applied"]
            assert await points(ledger, "m1") == 300
            monkeypatch.undo()
            (letter,) = await ledger.dead_letters()
            again = direct(transfer("m1", FAR, "t1", points=50))
            (outcome,) = await ledger.handle(again, retry_of=letter.id)
            assert outcome.kind == "applied"
            assert (await points(ledger, "m1"), await points(ledger, FAR)) == (250, 250)

    run(test())
    assert postings_sum(owner) == 0


def test_records_for_a_merged_member_are_taken_once_by_zombies_too(settings: Settings) -> None:
    """The offsets that move are those of the subject's partition; the decision is in another
    shard."""

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await kinds(one, survey("m1"), survey(FAR), merge("m1", FAR))
            bought = records([purchase("m1", f"o{n}", at=2) for n in range(4)])
            first, both = bought[:2], stretch(0, 4)
            assert {o.kind for o in await one.handle(first, stretch(0, 2))} == {"applied"}
            outcomes = [o.kind for o in await two.handle(bought, both)]
            assert outcomes == ["skipped", "skipped", "applied", "applied"]
            assert {o.kind for o in await one.handle(bought, both)} == {"skipped"}
            assert await points(one, FAR) == 800

    run(test())


def test_the_notice_of_a_closed_account_ends_by_the_scheduler(settings: Settings) -> None:
    from ledger.received import tick
    from tests.ledger.opened import instant

    async def test() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, survey("m1"), standing(inputs.AccountClose, "m1"))
            shards = list(range(SHARDS))
            assert await ledger.due_accounts(shards, instant(30), 10) == []
            assert await ledger.due_accounts(shards, instant(31), 10) == ["m1"]
            await ledger.handle([tick("m1", instant(31))])
            assert await points(ledger, "m1") == 0
            assert await ledger.due_accounts(shards, instant(4_000), 10) == []

    run(test())


def test_eight_processes_that_give_in_rings(
    url: str, settings: Settings, owner: psycopg.Connection
) -> None:
    """Many processes, the same few members, both directions at once: nothing waits for ever, every
    transfer is taken once, no point is made or lost."""

    async def begin() -> None:
        async with opened(settings) as ledger:
            await kinds(ledger, *(survey(member) for member in RING))

    run(begin())
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.pairs", url, str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    printed = [process.communicate(timeout=PROCESS_SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    applied, refused, duplicates = (
        sum(c) for c in zip(*(map(int, p.split()) for p in printed), strict=True)
    )
    sent = {
        item.event.id
        for number in range(PROCESSES)
        for batch in ring(number)
        for item in batch
        if item.event is not None
    }
    assert applied + refused + duplicates == PROCESSES * BATCHES * PER_BATCH
    assert applied + refused == len(sent)
    assert duplicates > 0
    assert applied > refused

    async def end() -> None:
        async with opened(settings) as ledger:
            left = [await points(ledger, member) for member in RING]
            assert sum(left) == 200 * len(RING)
            assert min(left) >= 0

    run(end())
    assert postings_sum(owner) == 0
    assert gaps(owner) == 0
    row = owner.execute(
        "SELECT count(*) FILTER (WHERE type = 'PointsSent'),"
        " count(*) FILTER (WHERE type = 'PointsReceived') FROM ledger.events"
    ).fetchone()
    assert row == (applied, applied)
