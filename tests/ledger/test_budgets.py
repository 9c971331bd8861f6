"""Budgets over all members: never exceeded, and used up to the last award that fits."""

import asyncio
import subprocess
import sys

import psycopg
import pytest
from msgspec.structs import replace

from ledger.budgets import DRAW_AHEAD
from ledger.core.program.form import Budget
from ledger.errors import ProgramRefused
from ledger.received import Received, asked
from ledger.settings import Settings
from ledger.sharding import shard_of
from schemas import inputs
from schemas.decisions import BudgetShare, PurchaseRewarded
from schemas.log_events import decode_event
from tests.ledger.budgeted import BONUS, leases_of, spend, spent_of, with_budgets
from tests.ledger.events import SHARDS, direct, head, purchase, returned, shares_shard, survey
from tests.ledger.interleaved import interleave
from tests.ledger.opened import opened, run
from tests.ledger.pairs import merge

PROCESSES = 8
PROCESS_SECONDS = 600


def spring(points: int) -> Budget:
    return Budget(id="spring", points=points)


def buyers(count: int, start: int = 0) -> list[inputs.InputEvent]:
    """Purchases of that many members, too small for points but for the bonus."""
    return [purchase(f"m{n}", f"o{n}", amount=1) for n in range(start, start + count)]


def test_an_award_is_paid_from_its_shards_lease(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(100_000)))
            await ledger.handle(direct(purchase("m1", "o1", amount=1)))
            assert (await ledger.account("m1")).granted == BONUS

    run(test())
    leases = leases_of(owner)
    drawn = DRAW_AHEAD * BONUS
    assert leases.pop(shard_of("m1", SHARDS)) == (drawn - BONUS, BONUS)
    assert set(leases.values()) == {(0, 0)}
    assert spent_of(owner) == BONUS


def test_a_preview_tells_an_award_before_its_shard_has_drawn(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(BONUS + 1)))
            before = leases_of(owner)
            both = [
                *asking(purchase("m1", "o1", amount=1)),
                *asking(purchase("m2", "o2", amount=1)),
            ]
            for told in await ledger.preview(both):  # each as if there were no other
                assert isinstance(told.outcome.decision, PurchaseRewarded)
                assert sum(award.points for award in told.outcome.decision.awards) == BONUS
            assert leases_of(owner) == before
            await ledger.handle(direct(purchase("m1", "o1", amount=1)))
            assert (await ledger.account("m1")).granted == BONUS
            (spent,) = await ledger.preview(asking(purchase("m2", "o2", amount=1)))
            assert isinstance(spent.outcome.decision, PurchaseRewarded)
            assert not any(award.points for award in spent.outcome.decision.awards)

    def asking(event: inputs.InputEvent) -> list[Received]:
        return [asked(event)]

    run(test())
    assert spent_of(owner) == BONUS


def test_a_program_without_budgets_asks_for_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    for name in ("read", "hold", "draw"):
        monkeypatch.setattr(f"ledger.budgets.{name}", refuse)
    monkeypatch.setattr("ledger.append.spend", refuse)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1"), returned("m1", "o1", "r1")))

    run(test())


def test_awards_of_one_batch_use_it_up_in_the_order_of_the_batch(
    settings: Settings, owner: psycopg.Connection
) -> None:
    """One shard: what the first took is not there for the last."""
    members = shares_shard("m1", 9)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(5 * BONUS + 3)))
            events = [purchase(member, "o1", amount=1) for member in members]
            await ledger.handle(direct(*events))
            granted = [(await ledger.account(member)).granted for member in members]
            assert granted == [BONUS] * 5 + [0] * 4

    run(test())
    assert spent_of(owner) == 5 * BONUS


def test_what_another_shard_holds_is_called_back(
    settings: Settings, owner: psycopg.Connection
) -> None:
    total = 20 * BONUS

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(total)))
            for number in range(30):  # one after the other, so that every shard draws ahead
                await ledger.handle(direct(*buyers(1, number)))

    run(test())
    assert spent_of(owner) == total
    assert {leased for leased, _ in leases_of(owner).values()} == {0}


def test_a_batch_over_all_shards_shares_out_what_is_left(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(33 * BONUS + 1)))
            await ledger.handle(direct(*buyers(60)))
            granted = [(await ledger.account(f"m{n}")).granted for n in range(60)]
            assert granted.count(BONUS) == 33

    run(test())
    assert spent_of(owner) == 33 * BONUS


def test_a_smaller_award_still_fits(settings: Settings, owner: psycopg.Connection) -> None:
    """The bonus of 70 no longer fits, the survey of 40 does."""

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(BONUS + 45)))
            done = inputs.SurveyCompleted(
                **head("m3", "s", 0), data=inputs.SurveyData(survey_id="paid", completion_id="c")
            )
            await ledger.handle(direct(*buyers(3), done))
            assert (await ledger.account("m3")).granted == 40

    run(test())
    assert spent_of(owner) == BONUS + 40


def test_a_return_gives_back_and_another_member_gets_it(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(BONUS)))
            await ledger.handle(direct(*buyers(1)))
            await ledger.handle(direct(*buyers(1, 1)))
            assert spent_of(owner) == BONUS
            assert (await ledger.account("m1")).granted == 0
            await ledger.handle(direct(returned("m0", "o0", "r1")))
            assert spent_of(owner) == 0
            await ledger.handle(direct(purchase("m1", "again", amount=1, at=2)))
            assert (await ledger.account("m1")).granted == BONUS

    run(test())
    assert spent_of(owner) == BONUS


def test_in_one_batch_a_return_pays_for_the_next_purchase(
    settings: Settings, owner: psycopg.Connection
) -> None:
    (neighbour,) = shares_shard("m1", 1)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(BONUS)))
            first, back = purchase("m1", "o1", amount=1), returned("m1", "o1", "r1")
            lost = purchase(neighbour, "o2", amount=1)
            paid = purchase(neighbour, "o3", amount=1, at=2)
            await ledger.handle(direct(first, lost, back, paid))
            assert (await ledger.account(neighbour)).granted == BONUS

    run(test())
    assert spent_of(owner) == BONUS


def test_what_a_return_gives_back_is_for_other_shards_after_its_commit(
    settings: Settings, owner: psycopg.Connection
) -> None:
    other = next(f"m{n}" for n in range(9) if shard_of(f"m{n}", SHARDS) != shard_of("m1", SHARDS))

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(BONUS)))
            first, back = purchase("m1", "o1", amount=1), returned("m1", "o1", "r1")
            await ledger.handle(direct(first))
            await ledger.handle(direct(back, purchase(other, "o2", amount=1)))
            assert (await ledger.account(other)).granted == 0
            await ledger.handle(direct(purchase(other, "o3", amount=1, at=2)))
            assert (await ledger.account(other)).granted == BONUS

    run(test())
    assert spent_of(owner) == BONUS


def test_duplicates_and_the_next_batch_use_nothing_twice(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(100_000)))
            same = direct(*buyers(8))
            await ledger.handle(same)
            await ledger.handle(same + same)

    run(test())
    assert spent_of(owner) == 8 * BONUS


def test_a_lease_that_was_called_back_between_reading_and_locking(
    settings: Settings, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head has not moved, but what the shard held is gone: another shard has spent it."""
    other = next(f"m{n}" for n in range(9) if shard_of(f"m{n}", SHARDS) != shard_of("m1", SHARDS))

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.publish_program(with_budgets(spring(2 * BONUS)))
            await two.reload_programs()
            with owner.transaction():
                shard = shard_of("m1", SHARDS)
                owner.execute("UPDATE ledger.budgets SET undrawn = 0")
                owner.execute(
                    "UPDATE ledger.budget_leases SET leased = %s WHERE shard = %s",
                    (2 * BONUS, shard),
                )
            await interleave(
                monkeypatch,
                one,
                direct(purchase("m1", "o1", amount=1)),
                lambda: two.handle(
                    direct(purchase(other, "o2", amount=1), purchase(other, "o3", amount=1))
                ),
            )
            assert (await one.account(other)).granted == 2 * BONUS
            assert (await one.account("m1")).granted == 0

    run(test())
    assert spent_of(owner) == 2 * BONUS


def test_a_version_published_meanwhile_brings_its_budget(
    settings: Settings, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await interleave(
                monkeypatch,
                one,
                direct(purchase("m1", "o1", amount=1)),
                lambda: two.publish_program(with_budgets(spring(1_000))),
            )
            assert (await one.account("m1")).granted == BONUS

    run(test())
    assert spent_of(owner) == BONUS


def test_two_budgets_in_one_purchase(settings: Settings, owner: psycopg.Connection) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            budgets = (spring(1_000), Budget(id="gifts", times=3))
            await ledger.publish_program(with_budgets(*budgets))
            events = [replace_channel(event) for event in buyers(6)]
            await ledger.handle(direct(*events))
            assert sum([(await ledger.account(f"m{n}")).granted for n in range(6)]) == (
                6 * BONUS + 3 * 5
            )

    run(test())
    assert spent_of(owner) == 6 * BONUS
    assert spent_of(owner, "gifts") == 3


def replace_channel(event: inputs.InputEvent) -> inputs.InputEvent:
    assert isinstance(event, inputs.PurchaseCompleted)
    return replace(event, data=replace(event.data, channel="web"))


def test_the_event_says_why(settings: Settings, owner: psycopg.Connection) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(BONUS + 9)))
            for number in range(2):
                await ledger.handle(direct(*buyers(1, number)))

    run(test())
    first, second = events_of(owner)
    assert first.facts is not None
    assert first.facts.budgets == (BudgetShare("spring", BONUS),)
    assert second.awards[-1].capped[-1].by == "budget:spring"
    assert second.awards[-1].points == 0


def events_of(owner: psycopg.Connection) -> list[PurchaseRewarded]:
    rows = owner.execute(
        "SELECT payload FROM ledger.events WHERE type = 'PurchaseRewarded' ORDER BY recorded_at"
    )
    found = []
    for (payload,) in rows:
        event = decode_event(payload)
        assert isinstance(event, PurchaseRewarded)
        found.append(event)
    return found


def test_an_account_that_was_merged_pays_and_gives_back_in_its_new_shard(
    settings: Settings, owner: psycopg.Connection
) -> None:
    other = next(f"m{n}" for n in range(9) if shard_of(f"m{n}", SHARDS) != shard_of("m1", SHARDS))

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(10_000)))
            first = direct(purchase("m1", "o1", amount=1), survey(other), merge("m1", other))
            assert {o.kind for o in await ledger.handle(first)} == {"applied"}
            await ledger.handle(direct(purchase("m1", "o2", amount=1, at=2)))
            assert spent_of(owner) == 2 * BONUS
            await ledger.handle(direct(returned("m1", "o1", "r1", at=3)))
            assert spent_of(owner) == BONUS
            await ledger.handle(direct(returned(other, "o2", "r2", at=3)))

    run(test())
    assert spent_of(owner) == 0
    assert leases_of(owner)[shard_of("m1", SHARDS)][1] == BONUS
    assert leases_of(owner)[shard_of(other, SHARDS)][1] == -BONUS


# --- totals that change ---------------------------------------------------------------------------


def test_a_later_version_raises_and_lowers_the_total(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(BONUS)))
            await ledger.handle(direct(*buyers(3)))
            assert spent_of(owner) == BONUS
            # It counts from its publishing on, and not only from its effective_from.
            await ledger.publish_program(with_budgets(spring(100 * BONUS), effective=40))
            await ledger.handle(direct(*buyers(3, 3)))
            assert spent_of(owner) == 4 * BONUS
            await ledger.publish_program(with_budgets(spring(5 * BONUS), effective=41))
            assert {leased for leased, _ in leases_of(owner).values()} == {0}
            await ledger.handle(direct(*buyers(3, 6)))
            assert spent_of(owner) == 5 * BONUS

    run(test())


def test_a_total_below_what_is_spent_is_refused(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(1_000)))
            await ledger.handle(direct(*buyers(3)))
            with pytest.raises(ProgramRefused, match=f"{3 * BONUS} of it are spent") as refused:
                await ledger.publish_program(with_budgets(spring(3 * BONUS - 1), effective=9))
            assert refused.value.code == "budget_below_spent"
            await ledger.publish_program(with_budgets(spring(3 * BONUS), effective=9))
            await ledger.handle(direct(*buyers(1, 5)))

    run(test())
    assert spent_of(owner) == 3 * BONUS


def test_a_budget_does_not_change_what_it_counts(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(1_000)))
            times = Budget(id="spring", times=9)
            with pytest.raises(ProgramRefused) as refused:
                await ledger.publish_program(with_budgets(times, effective=9))
            assert refused.value.code == "budget_unit"

    run(test())


# --- many at once ---------------------------------------------------------------------------------


def test_tasks_that_call_back_from_each_other(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.publish_program(with_budgets(spring(101 * BONUS + 5)))
            await two.reload_programs()
            await asyncio.gather(*(spend(each, f"w{n}") for n, each in enumerate((one, two, one))))

    run(test())
    assert spent_of(owner) == 101 * BONUS


def test_eight_processes_spend_it_to_the_last_award_that_fits(
    settings: Settings, owner: psycopg.Connection, url: str
) -> None:
    async def publish() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_budgets(spring(700 * BONUS + 69)))

    run(publish())
    command = [sys.executable, "-m", "tests.ledger.budgeted", url]
    spenders = [
        subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(PROCESSES)
    ]
    made = [int(spender.communicate(timeout=PROCESS_SECONDS)[0]) for spender in spenders]
    assert [spender.returncode for spender in spenders] == [0] * PROCESSES
    assert sum(made) > 700
    assert spent_of(owner) == 700 * BONUS
