"""Publishing program versions: what may follow what, and that no decision misses one."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from ledger import reading
from ledger.application import Ledger
from ledger.core.program.form import Award, Program, Rate
from ledger.errors import ProgramRefused
from ledger.lookups import Connection
from ledger.received import tick
from ledger.settings import Settings
from schemas.decisions import RfmBoundsSet
from tests.ledger.events import day, direct, purchase, survey
from tests.ledger.opened import instant, opened, run


def from_day(program: Program, number: float, points: int = 3) -> Program:
    """The program from a day on, with another base rate."""
    base = replace(program.earn[0], award=Award(rate=Rate(points=points, per_amount=100)))
    return replace(program, effective_from=day(number), earn=(base, *program.earn[1:]))


async def refused(ledger: Ledger, program: Program) -> str:
    with pytest.raises(ProgramRefused) as error:
        await ledger.publish_program(program)
    return error.value.code


def test_a_version_counts_from_its_moment(settings: Settings, program: Program) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            version, new = await ledger.publish_program(from_day(program, 10))
            assert new
            assert (await ledger.publish_program(from_day(program, 10))) == (version, False)
            await ledger.handle(direct(purchase("m1", "o1", at=9), purchase("m1", "o2", at=10)))
            assert (await ledger.account("m1")).granted == 100 + 300
            assert len(ledger.programs.versions) == 2

    run(test())


def test_what_may_not_be_published(settings: Settings, program: Program) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            assert await refused(ledger, replace(program, program="b")) == "other_program"
            euros = replace(from_day(program, 1), currency="EUR")
            assert await refused(ledger, euros) == "other_currency"
            zone = replace(from_day(program, 1), time_zone="Europe/Berlin")
            assert await refused(ledger, zone) == "other_time_zone"
            early = replace(
                from_day(program, 0), effective_from=program.effective_from - timedelta(days=1)
            )
            assert await refused(ledger, early) == "not_after_last_version"
            await ledger.handle(direct(purchase("m1", "o1", at=20)))
            assert await refused(ledger, from_day(program, 20)) == "already_decided"
            assert await refused(ledger, from_day(program, 3)) == "already_decided"
            await ledger.publish_program(from_day(program, 20.001))

    run(test())


def test_settling_counts_as_decided(settings: Settings, program: Program) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1", at=1)))
            await ledger.handle([tick("m1", instant(30))])
            assert await refused(ledger, from_day(program, 29)) == "already_decided"

    run(test())


def test_another_process_sees_it_with_its_next_append(
    settings: Settings, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is published between deciding and locking."""

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.handle(direct(survey("m1")))
            await two.publish_program(from_day(program, 10))
            await one.handle(direct(purchase("m1", "o1", at=11)))
            assert (await one.account("m1")).granted == 200 + 300

            monkeypatch.setattr(reading, "UNDER_LOCK_MAX", 0)
            real = one._lock

            async def late(connection: Connection, *rest: object) -> object:
                await two.publish_program(from_day(program, 20, points=5))
                return await real(connection, *rest)  # type: ignore[arg-type]

            monkeypatch.setattr(one, "_lock", late)
            await one.handle(direct(purchase("m1", "o2", at=21)))
            assert (await one.account("m1")).granted == 200 + 300 + 500
            monkeypatch.undo()
            assert len((await two.reload_programs()).versions) == 3

    run(test())


def test_bounds_are_recorded_in_the_system_shard(settings: Settings) -> None:
    bounds = RfmBoundsSet(
        occurred_at=instant(0),
        as_of=instant(0),
        members=5,
        recency_days=(1, 2, 3, 4),
        frequency=(1, 2, 3, 4),
        monetary=(1, 2, 3, 4),
    )

    async def test() -> None:
        async with opened(settings) as ledger:
            assert await ledger.record_bounds(bounds) == 3
            before = ledger.programs
            await ledger.handle(direct(survey("m1")))
            assert ledger.programs is before

    run(test())
