"""Units of a reward are given once, over all shards and processes, and so are voucher codes."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from ledger import reading
from ledger.application import Ledger
from ledger.core.program.form import CatalogueReward, Program
from ledger.errors import ProgramRefused
from ledger.received import Outcome
from ledger.settings import Settings
from ledger.sharding import shard_of
from schemas.decisions import RewardClaimed
from schemas.log_events import decode_event
from schemas.outcomes import CommandOutcome
from tests.ledger.events import SHARDS, claim, day, direct, merged, records, stretch, survey
from tests.ledger.opened import opened, run

CUPS = 25
CODES = [f"CODE-{n}" for n in range(30)]
REWARDS = (
    CatalogueReward(id="cup", points=10, kind="gift", stock=CUPS),
    CatalogueReward(id="cinema", points=10, kind="voucher"),
)
MEMBERS = [f"m{n}" for n in range(40)]


async def prepare(ledger: Ledger, program: Program) -> None:
    """A catalogue, and members of all shards with 200 points each."""
    await ledger.publish_program(replace(program, effective_from=day(-0.5), rewards=REWARDS))
    await ledger.handle(direct(*(survey(member) for member in MEMBERS)))


def claimed(owner: psycopg.Connection[Any]) -> list[tuple[int, int, RewardClaimed]]:
    """What the log says that was given."""
    rows = owner.execute(
        "SELECT shard, position, payload FROM ledger.events WHERE type = 'RewardClaimed'"
    ).fetchall()
    found = []
    for shard, position, payload in rows:
        event = decode_event(payload)
        assert isinstance(event, RewardClaimed)
        found.append((shard, position, event))
    return found


def check_given(owner: psycopg.Connection[Any]) -> dict[str, int]:
    """Units are numbered without gaps or doubles, and each voucher's claim has its own code."""
    found = claimed(owner)
    given: dict[str, int] = {}
    for name in {event.reward_id for _, _, event in found}:
        numbers = sorted(e.number for _, _, e in found if e.reward_id == name and e.number)
        assert numbers == list(range(1, len(numbers) + 1))
        given[name] = len(numbers)
    assert given == dict(
        owner.execute("SELECT reward_id, given FROM ledger.reward_stock WHERE given > 0").fetchall()
    )
    codes = {
        (shard, position): number
        for shard, position, number in owner.execute(
            "SELECT shard, position, number FROM ledger.voucher_codes WHERE position IS NOT NULL"
        ).fetchall()
    }
    assert codes == {
        (shard, position): event.number
        for shard, position, event in found
        if event.kind == "voucher"
    }
    return given


def test_many_processes_give_no_more_than_there_is(
    settings: Settings, program: Program, owner: psycopg.Connection[Any]
) -> None:
    """Four ledgers (as four processes have them) claim at once, in batches over all shards, each
    member several times: more is asked for than there is."""

    async def test() -> None:
        async with opened(settings) as one:
            await prepare(one, program)
            await one.load_codes("cinema", CODES)
            others = [await Ledger.open(settings) for _ in range(3)]
            every = [one, *others]

            async def till(number: int) -> list[Outcome]:
                found: list[Outcome] = []
                for turn in range(3):
                    batch = [
                        claim(member, f"{number}-{turn}-{member}", ("cup", "cinema")[n % 2])
                        for n, member in enumerate(MEMBERS[number * 10 : number * 10 + 10])
                    ]
                    found += await every[number].handle(direct(*batch))
                return found

            outcomes = [o for found in await asyncio.gather(*map(till, range(4))) for o in found]
            for other in others:
                await other.close()
            kinds = Counter((outcome.kind, outcome.code) for outcome in outcomes)
            assert kinds == {
                ("applied", None): CUPS + len(CODES), ("refused", "sold_out"): 65,
            }  # fmt: skip

    run(test())
    assert check_given(owner) == {"cup": CUPS, "cinema": len(CODES)}


def test_the_last_unit_goes_to_one_of_a_batch(
    settings: Settings, program: Program, owner: psycopg.Connection[Any]
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await prepare(ledger, program)
            await ledger.load_codes("cinema", ["ONLY"])
            outcomes = await ledger.handle(
                direct(*(claim(member, member, "cinema") for member in MEMBERS))
            )
            assert [o.kind for o in outcomes] == ["applied"] + ["refused"] * (len(MEMBERS) - 1)
            first = outcomes[0]
            assert first.shard is not None
            assert first.position is not None
            assert await ledger.voucher_code(first.shard, first.position) == "ONLY"

    run(test())
    assert check_given(owner) == {"cinema": 1}


def test_a_claim_sent_again_gets_the_same_code_and_no_other(
    settings: Settings, program: Program, owner: psycopg.Connection[Any]
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await prepare(ledger, program)
            await ledger.load_codes("cinema", CODES)
            asked = claim("m1", "x", "cinema")
            await ledger.handle(records([asked, asked], 0, "commands"), stretch(0, 2, "commands"))
            (again,) = await ledger.handle(direct(asked))
            assert again.kind == "duplicate"
            untold = await ledger.pending_outcomes(range(SHARDS), 10)
            told = [msgspec.json.decode(one.event, type=CommandOutcome) for one in untold]
            assert [one.data.outcome for one in told] == ["applied", "duplicate"]
            assert {one.data.voucher_code for one in told} == {"CODE-0"}

    run(test())
    assert check_given(owner) == {"cinema": 1}
    payloads = owner.execute("SELECT payload FROM ledger.events").fetchall()
    assert not [payload for (payload,) in payloads if b"CODE-0" in payload]
    outcomes = owner.execute("SELECT outcome FROM ledger.command_outcomes").fetchall()
    assert not [outcome for (outcome,) in outcomes if b"CODE-0" in outcome]


def test_codes_that_come_later_are_handed_out_then(
    settings: Settings, program: Program, owner: psycopg.Connection[Any]
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await prepare(ledger, program)
            (none_yet,) = await ledger.handle(direct(claim("m1", "1", "cinema")))
            assert none_yet.code == "sold_out"
            loaded = await ledger.load_codes("cinema", ["A", "B", "A"])
            assert (loaded.loaded, loaded.known, loaded.left) == (2, 1, 2)
            (now,) = await ledger.handle(direct(claim("m1", "2", "cinema")))
            assert now.kind == "applied"
            again = await ledger.load_codes("cinema", ["B", "C"])
            assert (again.loaded, again.known, again.left) == (1, 1, 2)
            assert await ledger.reward_stock(["cinema", "cup"]) == {"cinema": (3, 1)}

    run(test())
    assert owner.execute(
        "SELECT number, code FROM ledger.voucher_codes ORDER BY number"
    ).fetchall() == [(1, "A"), (2, "B"), (3, "C")]


def test_a_batch_whose_shard_moved_numbers_all_its_claims_anew(
    settings: Settings,
    program: Program,
    owner: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two tills with one ledger each: the second reads, the first takes units and moves heads, the
    second appends."""
    monkeypatch.setattr(reading, "UNDER_LOCK_MAX", 0)

    async def test() -> None:
        async with opened(settings) as one:
            await prepare(one, program)
            two = await Ledger.open(settings)
            lock = two._lock
            ran: list[bool] = []

            async def late(*arguments: Any) -> Any:
                if not ran:
                    ran.append(True)
                    await one.handle(direct(*(claim(m, f"a-{m}", "cup") for m in MEMBERS[:20])))
                return await lock(*arguments)

            two._lock = late  # type: ignore[method-assign, assignment]
            outcomes = await two.handle(
                direct(*(claim(member, f"b-{member}", "cup") for member in MEMBERS[15:30]))
            )
            await two.close()
            assert Counter(o.kind for o in outcomes) == {"applied": 5, "refused": 10}

    run(test())
    assert check_given(owner) == {"cup": CUPS}


def test_who_was_merged_is_told_the_code_that_the_account_that_stays_got(
    settings: Settings, program: Program, owner: psycopg.Connection[Any]
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await prepare(ledger, program)
            await ledger.load_codes("cinema", CODES)
            await ledger.handle(direct(merged("m1", "m2")))
            asked = claim("m1", "x", "cinema", at=2)
            other = claim("m2", "y", "cinema", at=2)
            batch = records([asked, other, asked], 0, "commands")
            await ledger.handle(batch, stretch(0, 3, "commands"))
            untold = await ledger.pending_outcomes(range(SHARDS), 10)
            told = [msgspec.json.decode(one.event, type=CommandOutcome) for one in untold]
            found = {one.id: one.data for one in told}
            first, second, again = (found[f"commands:0:{n}"] for n in range(3))
            assert [one.outcome for one in (first, second, again)] == [
                "applied", "applied", "duplicate",
            ]  # fmt: skip
            assert first.voucher_code == again.voucher_code
            assert {first.voucher_code, second.voucher_code} == {"CODE-0", "CODE-1"}
            assert first.balance is not None
            assert first.balance.available == 390  # both had 200
            assert first.shard is not None
            assert first.position is not None
            code = await ledger.voucher_code(first.shard, first.position)
            assert code == first.voucher_code

    run(test())
    (row,) = owner.execute("SELECT loaded, given FROM ledger.reward_stock").fetchall()
    assert row == (30, 2)


def test_one_code_is_not_given_under_two_rewards(
    settings: Settings, program: Program, owner: psycopg.Connection[Any]
) -> None:
    """The reward got another id with the new year, and the file of codes is loaded for it too, by
    two at the same moment; the second file has some codes of its own."""
    rewards = tuple(CatalogueReward(id=name, points=10, kind="voucher") for name in ("old", "new"))
    codes = [f"C-{n}" for n in range(500)]

    async def test() -> None:
        async with opened(settings) as ledger:
            version = replace(program, effective_from=day(-0.5), rewards=rewards)
            await ledger.publish_program(version)
            found = await asyncio.gather(
                ledger.load_codes("old", codes), ledger.load_codes("new", [*codes[::-1], "OWN"])
            )
            assert sum(one.loaded for one in found) == 501
            old, new = found
            assert (len(old.refused), len(new.refused)) in ((0, 500), (500, 0))
            assert (old.known, new.known) == (0, 0)
            again = await ledger.load_codes("old", [*codes, "OWN"])
            assert again.loaded == 0
            assert 500 in again.refused

    run(test())
    rows = owner.execute(
        "SELECT s.reward_id, s.loaded, count(c), coalesce(max(c.number), 0), count(DISTINCT c.code)"
        " FROM ledger.reward_stock s LEFT JOIN ledger.voucher_codes c USING (reward_id)"
        " GROUP BY s.reward_id, s.loaded"
    ).fetchall()
    for _, loaded, *counts in rows:
        assert counts == [loaded, loaded, loaded]
    assert sum(row[1] for row in rows) == 501


@pytest.mark.parametrize("kinds", [("gift", "voucher"), ("voucher", "gift")])
def test_a_reward_stays_of_its_kind(
    settings: Settings, program: Program, kinds: tuple[Any, Any]
) -> None:
    """Units given of a gift would be taken for codes that were handed out."""
    before, after = (CatalogueReward(id="cup", points=10, kind=kind, stock=9) for kind in kinds)

    async def test() -> None:
        async with opened(settings) as ledger:
            version = replace(program, effective_from=day(-0.5), rewards=(before,))
            await ledger.publish_program(version)
            await ledger.publish_program(replace(program, effective_from=day(1), rewards=()))
            with pytest.raises(ProgramRefused) as refused:
                await ledger.publish_program(
                    replace(program, effective_from=day(2), rewards=(after,))
                )
            assert refused.value.code == "kind_changed"
            await ledger.publish_program(replace(program, effective_from=day(2), rewards=(before,)))

    run(test())


def test_all_rewards_that_are_asked_for_are_locked_at_once(
    settings: Settings,
    program: Program,
    owner: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last voucher goes to somebody else between reading and locking, so the claim of the gift
    is decided again and now can be paid: its row is locked already. Another till, which holds it
    and wants the voucher's, would wait for the first for ever."""
    monkeypatch.setattr(reading, "UNDER_LOCK_MAX", 0)
    rewards = (
        CatalogueReward(id="a", points=150, kind="gift", stock=9),
        CatalogueReward(id="b", points=150, kind="voucher"),
    )

    async def test() -> None:
        async with opened(settings) as one:
            two, three = await Ledger.open(settings), await Ledger.open(settings)
            version = replace(program, effective_from=day(-0.5), rewards=rewards)
            await one.publish_program(version)
            await one.handle(direct(*(survey(member) for member in MEMBERS)))
            of_shards = {shard_of(member, SHARDS): member for member in MEMBERS}
            first, second, third = list(of_shards.values())[:3]
            await one.load_codes("b", ["ONLY"])
            lock, anew = one._lock, one._decide_anew
            tasks: list[asyncio.Task[list[Outcome]]] = []

            async def late(*arguments: Any) -> Any:
                await three.handle(direct(claim(third, "last", "b")))
                one._lock = lock  # type: ignore[method-assign]
                return await lock(*arguments)

            async def while_it_decides(*arguments: Any) -> Any:
                if not tasks:
                    batch = direct(claim(second, "a", "a"), claim(second, "b", "b"))
                    tasks.append(asyncio.create_task(two.handle(batch)))
                    await asyncio.sleep(0.5)
                return await anew(*arguments)

            one._lock, one._decide_anew = late, while_it_decides  # type: ignore[method-assign, assignment]
            outcomes = await one.handle(direct(claim(first, "b", "b"), claim(first, "a", "a")))
            assert [o.code for o in outcomes] == ["sold_out", None]
            (task,) = tasks
            assert [o.code for o in await task] == [None, "not_enough_points"]
            await two.close()
            await three.close()

    run(test())
    assert check_given(owner) == {"a": 2, "b": 1}


def test_no_row_is_made_for_what_is_not_in_the_catalogue(
    settings: Settings, program: Program, owner: psycopg.Connection[Any]
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await prepare(ledger, program)
            (outcome,) = await ledger.handle(direct(claim("m1", "1", "car")))
            assert outcome.code == "not_in_catalogue"

    run(test())
    assert owner.execute("SELECT count(*) FROM ledger.reward_stock").fetchall() == [(0,)]
