"""Segments by region and tag, from the members' events to the read model.

What profiles hold beside the program's conditions must be nowhere but in the profiles' own table.
"""

from datetime import date
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from ledger import recompute
from ledger.application import Ledger
from ledger.core.program.form import Program, Segment, SegmentWhen
from ledger.core.program.load import load_program
from ledger.errors import AppendFailed
from ledger.received import Outcome, Received
from ledger.settings import Settings
from projections.connection import connect
from schemas import inputs
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import day, direct, erased, head, updated
from tests.ledger.opened import opened, run
from tests.projections.history import catch_up, dump, empty

SEGMENTS = (
    Segment("northerners", SegmentWhen(region=("north", "east"))),
    Segment("vips", SegmentWhen(tag="vip")),
    Segment("northern-vips", SegmentWhen(region="north", tag=("vip", "staff"))),
)
SECRETS = ("elsewhere", "left-handed", "1990", "by-letter")
"""What profiles hold and no condition asks for."""


def enrolled(member: str, at: float = 0, **profile: Any) -> inputs.MemberEnrolled:
    """A member joins."""
    return inputs.MemberEnrolled(
        **head(member, f"enrol-{member}", at),
        data=inputs.MemberData(profile=inputs.Profile(**profile)),
    )


def with_segments(program: Program, from_day: float) -> Program:
    """The program with segments by profile, from that day on."""
    return replace(program, effective_from=day(from_day), segments=SEGMENTS)


def intervals(url: str) -> set[tuple[Any, ...]]:
    """Every membership: member, segment, entered on day, left on day."""
    with connect(url) as session:
        catch_up(session)
        grown = dump(session)
        assert not any(secret in text for text in grown.values() for secret in SECRETS)
        empty(session)
        catch_up(session)
        assert dump(session) == grown
        rows = session.execute(
            "SELECT member_id, segment, entered_at, left_at FROM read.segment_intervals"
        ).fetchall()
    return {(member, segment, _days(start), _days(end)) for member, segment, start, end in rows}


def _days(moment: Any) -> float | None:
    return None if moment is None else (moment - day(0)).total_seconds() / 86_400


def logged(owner: psycopg.Connection) -> str:
    """All payloads of the members' log, as one text."""
    rows = owner.execute(
        "SELECT convert_from(payload, 'UTF8') FROM ledger.events WHERE shard >= 0"
    ).fetchall()
    return "\n".join(row[0] for row in rows)


FIRST: list[inputs.InputEvent] = [
    enrolled("m1", region="north", tags=("vip", "left-handed"), birthday=date(1990, 5, 17)),
    enrolled("m2", region="elsewhere", tags=("staff",), consents=("by-letter",)),
    enrolled("m3", region="east", tags=("vip",)),
    enrolled("m4", region="elsewhere"),
]
THEN: list[inputs.InputEvent] = [
    updated("m2", "moves", at=5, region="north"),
    updated("m1", "no-tag", at=12, tags=("left-handed",)),
    updated("m1", "no-region", at=15, region=None),
    updated("m4", "named", at=16, tags=("vip",)),
    erased("m3", at=20),
]
EXPECTED = {
    ("m1", "northerners", 10, 15),
    ("m1", "vips", 10, 12),
    ("m1", "northern-vips", 10, 12),
    ("m2", "northerners", 10, None),
    ("m2", "northern-vips", 10, None),
    ("m3", "northerners", 10, 20),
    ("m3", "vips", 10, 20),
    ("m4", "vips", 16, None),
}


@pytest.mark.parametrize("known_before", [0, 1, 3, 4])
def test_memberships(
    settings: Settings, url: str, owner: psycopg.Connection, program: Program, known_before: int
) -> None:
    """They do not depend on how many members were known when the segments were published."""

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(*FIRST[:known_before]))
            version, new = await ledger.publish_program(with_segments(program, 10))
            assert new
            done = await ledger.handle(direct(*FIRST[known_before:], *THEN))
            assert {outcome.kind for outcome in done} == {"applied"}
            before = logged(owner)
            assert await ledger.publish_program(with_segments(program, 10)) == (version, False)
            assert logged(owner) == before
            assert await ledger.outcome_counts() == {("direct", "applied"): 9}

    run(test())
    assert intervals(url) == EXPECTED
    assert not any(secret in logged(owner) for secret in SECRETS)
    kept = owner.execute("SELECT member_id FROM ledger.profiles ORDER BY 1").fetchall()
    assert kept == [("m1",), ("m2",), ("m4",)]


def test_pages_and_a_publication_that_broke_off(
    settings: Settings, url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing again finishes what was begun; only who fulfils a condition gets an event."""
    monkeypatch.setattr(recompute, "INPUTS_MAX", 2)
    members = [enrolled(f"m{n}", region="east" if n % 2 else "elsewhere") for n in range(10)]
    handled: list[int] = []

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(*members))
            whole = ledger.handle

            async def first_two(tasks: list[Received]) -> list[Outcome]:
                if handled:
                    raise AppendFailed("the disk is full")
                handled.append(len(tasks))
                return await whole(tasks)

            monkeypatch.setattr(ledger, "handle", first_two)
            with pytest.raises(AppendFailed):
                await ledger.publish_program(with_segments(program, 10))
            monkeypatch.undo()
            assert await recorded(ledger) == 2
            await ledger.publish_program(with_segments(program, 10))
            assert await recorded(ledger) == 5

    async def recorded(ledger: Ledger) -> int:
        accounts = [await ledger.account(f"m{n}") for n in range(10)]
        return sum(account.profile.get("region:east", False) for account in accounts)

    run(test())
    assert handled == [2]
    assert intervals(url) == {(f"m{n}", "northerners", 10, None) for n in (1, 3, 5, 7, 9)}


def test_an_update_that_comes_between_publishing_and_looking_again(
    settings: Settings, url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcomes are those of the profile as it is when they are appended."""

    async def test() -> None:
        async with opened(settings) as ledger, opened(settings) as other:
            await ledger.handle(direct(enrolled("m1", tags=("vip",)), enrolled("m2", tags=("vip",)),
                                       enrolled("m3", region="north")))  # fmt: skip
            whole = ledger.handle

            async def overtaken(tasks: list[Received]) -> list[Outcome]:
                await other.handle(
                    direct(
                        updated("m1", "left-out", at=2, consents=()),
                        updated("m2", "no-tag", at=2, tags=None),
                        erased("m3", at=3),
                    )
                )
                return await whole(tasks)

            monkeypatch.setattr(ledger, "handle", overtaken)
            await ledger.publish_program(with_segments(program, 10))
            monkeypatch.undo()

    run(test())
    assert intervals(url) == {("m1", "vips", 10, None)}


def test_a_program_file_may_ask_for_them(program: Program) -> None:
    text = PROGRAM.read_text(encoding="utf-8") + (
        "segments:\n"
        "  - {id: northerners, when: {region: [north, east]}}\n"
        "  - {id: vips, when: {tag: vip}}\n"
        "  - {id: northern-vips, when: {region: north, tag: [vip, staff]}}\n"
    )
    assert load_program(text, PROGRAM.name) == replace(program, segments=SEGMENTS)
