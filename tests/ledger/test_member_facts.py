"""Rules that ask about birthdays and segments, through the one door: what is looked up, when, and
what gets into the log."""

from datetime import date
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from ledger import lookups, profiles
from ledger.application import Ledger
from ledger.batch import Batch
from ledger.core.program.form import (
    Award,
    BirthdayWindow,
    Bounds,
    EarnRule,
    OnActivity,
    Program,
    Segment,
    SegmentWhen,
    When,
)
from ledger.member_facts import member_facts
from ledger.settings import Settings
from projections.connection import connect
from schemas.decisions import Facts, PurchaseRewarded
from schemas.log_events import decode_account_event
from tests.core.account_tools import MINIMAL, timeline
from tests.ledger.events import activity, day, direct, erased, purchase, records, stretch, updated
from tests.ledger.interleaved import interleave
from tests.ledger.opened import instant, opened, run
from tests.ledger.pairs import merge
from tests.ledger.test_profile_segments import enrolled
from tests.projections.history import catch_up

BORN = date(1990, 1, 12)
"""Day 10 of the tests is 12 January."""

BIRTHDAY = EarnRule("gift", Award(fixed=500), When(birthday=BirthdayWindow(2, 1)))
SEGMENT = EarnRule("regular", Award(fixed=7), When(segment="frequent"))
FREQUENT = Segment("frequent", SegmentWhen(frequency=Bounds(at_least=2)))


def with_rules(program: Program, *rules: EarnRule, from_day: float = 1) -> Program:
    """The program with more rules, from that day on."""
    return replace(
        program,
        effective_from=day(from_day),
        earn=(*program.earn, *rules),
        segments=(FREQUENT,),
    )


def bought(owner: psycopg.Connection[Any]) -> dict[str, PurchaseRewarded]:
    """The purchases of the log by order."""
    rows = owner.execute(
        "SELECT payload FROM ledger.events WHERE type = 'PurchaseRewarded'"
    ).fetchall()
    events = [decode_account_event(row[0]) for row in rows]
    return {e.purchase.order_id: e for e in events if isinstance(e, PurchaseRewarded)}


def got(event: PurchaseRewarded) -> set[str]:
    """The rules that granted something."""
    return {award.rule for award in event.awards if award.points}


def test_a_birthday_window_and_what_the_log_holds_of_it(
    settings: Settings, owner: psycopg.Connection[Any], program: Program
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_rules(program, BIRTHDAY))
            await ledger.handle(
                direct(enrolled("m1", birthday=BORN), enrolled("m2"), enrolled("m4", birthday=BORN))
            )
            await ledger.handle(
                direct(
                    purchase("m1", "o7", at=7),
                    purchase("m1", "o8", at=8),
                    purchase("m1", "o11", at=11),
                    purchase("m1", "o12", at=12),
                    purchase("m2", "no-birthday", at=10),
                    purchase("m3", "no-profile", at=10),
                    purchase("m1", "before-the-version", at=0.5),
                    purchase(None, "nobody", at=10),
                )
            )
            await ledger.handle(direct(erased("m4", at=8.5)))
            assert [o.code for o in await ledger.handle(direct(purchase("m4", "x", at=10)))] == [
                "account_erased"
            ]

    run(test())
    found = bought(owner)
    assert {order for order, event in found.items() if "gift" in got(event)} == {"o8", "o11"}
    assert found["o8"].facts == Facts(birthdays=("-2+1",))
    assert found["o7"].facts == found["no-profile"].facts == Facts(birthdays=())
    assert found["before-the-version"].facts is None
    logged = owner.execute("SELECT convert_from(payload, 'UTF8') FROM ledger.events").fetchall()
    assert not any("1990" in row[0] for row in logged)


def test_the_window_is_in_the_zone_of_the_program() -> None:
    rule = "  - {id: r, award: {fixed: 1}, when: {birthday: {}}}\n"
    programs = timeline(MINIMAL.replace("time_zone: UTC", "time_zone: Asia/Tokyo") + rule)
    # At noon it is 21:00 in Tokyo, so days begin an eighth of a day later.
    for at, holds in ((9.124, False), (9.126, True), (10.124, True), (10.126, False)):
        batch = Batch(direct(purchase("m1", "o1", at=at)), 4, instant(400), 0)
        batch.birthdays["m1"] = BORN
        facts = member_facts(batch, batch.works[0], "m1", programs)
        assert facts == Facts(birthdays=("-0+0",) if holds else ()), at


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_birthday_told_in_the_same_batch_counts_from_there_on(
    settings: Settings, owner: psycopg.Connection[Any], program: Program, size: int
) -> None:
    """How the inputs are cut into batches changes nothing."""
    story = (
        purchase("m1", "unknown", at=10),
        enrolled("m1", birthday=BORN),
        purchase("m1", "told", at=10),
        updated("m1", "moves", at=10, region="north"),
        purchase("m1", "kept", at=10),
        updated("m1", "forgets", at=10, birthday=None),
        purchase("m1", "forgotten", at=10),
        updated("m1", "again", at=10, birthday=BORN),
        purchase("m1", "again", at=10),
        replace(enrolled("m1", at=10, region="south"), id="enrol-anew"),
        purchase("m1", "enrolled-anew", at=10),
        updated("m1", "third", at=10, birthday=BORN),
        erased("m1", at=10),
        purchase("m1", "erased", at=10),
    )

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_rules(program, BIRTHDAY))
            for first in range(0, len(story), size):
                await ledger.handle(direct(*story[first : first + size]))

    run(test())
    told = {order for order, event in bought(owner).items() if "gift" in got(event)}
    assert told == {"told", "kept", "again"}


def test_what_another_process_changed_before_the_lock_counts(
    settings: Settings,
    owner: psycopg.Connection[Any],
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A birthday told, and a version published, between deciding and locking."""

    async def test() -> None:
        async with opened(settings) as ledger, opened(settings) as other:
            batch = direct(purchase("m1", "o1", at=10))

            async def published() -> None:
                await other.publish_program(with_rules(program, BIRTHDAY, SEGMENT))

            await interleave(monkeypatch, ledger, batch, published)

            async def told() -> None:
                await other.handle(direct(enrolled("m1", birthday=BORN)))

            await interleave(monkeypatch, ledger, direct(purchase("m1", "o2", at=10)), told)

            async def forgotten() -> None:
                await other.handle(direct(updated("m1", "forgets", at=10, birthday=None)))

            await interleave(monkeypatch, ledger, direct(purchase("m1", "o3", at=10)), forgotten)

    run(test())
    facts = {order: event.facts for order, event in bought(owner).items()}
    assert facts == {
        "o1": Facts(segments=(), birthdays=()),
        "o2": Facts(segments=(), birthdays=("-2+1",)),
        "o3": Facts(segments=(), birthdays=()),
    }


@pytest.mark.parametrize("size", [1, 100])
def test_a_merged_account_earns_by_the_birthday_of_the_one_that_stays(
    settings: Settings, owner: psycopg.Connection[Any], program: Program, size: int
) -> None:
    """Also for an activity, and whether the merge is in the same batch or was before."""
    rule = replace(BIRTHDAY, id="done", on=OnActivity("review"))
    story = (
        enrolled("m1", birthday=date(1990, 6, 1)),
        enrolled("m2", birthday=BORN),
        purchase("m1", "before", at=10),
        merge("m1", "m2", at=10),
        purchase("m1", "passed-on", at=10),
        activity("m1", "review", "r1", at=10),
    )

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_rules(program, BIRTHDAY, SEGMENT, rule))
            done = []
            for first in range(0, len(story), size):
                done += await ledger.handle(direct(*story[first : first + size]))
            assert {outcome.kind for outcome in done} == {"applied"}
            assert (await ledger.account("m2")).granted == 100 + 2 * 500

    run(test())
    found = bought(owner)
    assert "gift" not in got(found["before"])
    assert "gift" in got(found["passed-on"])
    assert found["passed-on"].addressed == "m1"


def test_a_segment_is_what_the_read_model_says_of_the_moment(
    settings: Settings, url: str, owner: psycopg.Connection[Any], program: Program
) -> None:
    async def test(ledger: Ledger) -> None:
        await ledger.publish_program(with_rules(program, SEGMENT))
        await ledger.handle(direct(purchase("m1", "a", at=2), purchase("m1", "b", at=4)))
        with connect(url) as session:
            catch_up(session)
        await ledger.handle(
            direct(
                purchase("m1", "late", at=3.9),
                purchase("m1", "in", at=4),
                purchase("m1", "later", at=5),
                purchase("m2", "other", at=5),
            )
        )
        # A year later the two purchases are out of the window: the read model knows that now.
        await ledger.handle(direct(purchase("m1", "left", at=4 + 365)))
        owner.execute("DROP SCHEMA read CASCADE")
        await ledger.handle(direct(purchase("m1", "no-read-model", at=6)))

    async def whole() -> None:
        async with opened(settings) as ledger:
            await test(ledger)

    run(whole())
    found = bought(owner)
    assert {order for order, event in found.items() if "regular" in got(event)} == {"in", "later"}
    assert found["in"].facts == Facts(segments=("frequent",))
    assert found["late"].facts == found["no-read-model"].facts == Facts(segments=())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was looked up of members, in order."""
    found: list[str] = []
    birthdays, segments = profiles.known_birthdays, lookups.segments_at

    async def of_birthdays(connection: Any, members: Any) -> Any:
        found.append("birthdays of " + " ".join(sorted(members)))
        return await birthdays(connection, members)

    async def of_segments(connection: Any, moments: Any, names: Any) -> Any:
        found.append("segments of " + " ".join(sorted(member for member, _ in moments)))
        return await segments(connection, moments, names)

    monkeypatch.setattr(profiles, "known_birthdays", of_birthdays)
    monkeypatch.setattr(lookups, "segments_at", of_segments)
    return found


def test_nothing_is_asked_for_programs_that_do_not_ask_and_nothing_twice(
    settings: Settings, owner: psycopg.Connection[Any], program: Program, asked: list[str]
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "before", at=0.5)))
            assert asked == []
            await ledger.publish_program(with_rules(program, BIRTHDAY, SEGMENT))
            first = records([purchase("m1", "o1", at=10), purchase(None, "nobody", at=10)])
            await ledger.handle(first, stretch(0, 2))
            assert asked == ["birthdays of m1", "segments of m1"]
            # The same stretch again, the same order again, another time, other types.
            await ledger.handle(first, stretch(0, 2))
            outcomes = await ledger.handle(direct(purchase("m1", "o1", at=10)))
            assert [outcome.kind for outcome in outcomes] == ["duplicate"]
            await ledger.handle(direct(purchase("m2", "early", at=0.7), updated("m1", "u", at=10)))
            assert asked == ["birthdays of m1", "segments of m1"]
            mixed = direct(
                purchase("m1", "o1", at=10),
                purchase("m1", "early", at=0.8),
                purchase("m3", "o3", at=10),
            )
            (again, *_) = await ledger.handle(mixed)
            assert again.kind == "duplicate"
            assert asked[2:] == ["birthdays of m3", "segments of m3"]
            asked.clear()
            await ledger.publish_program(replace(program, effective_from=day(20)))
            await ledger.handle(direct(purchase("m1", "after", at=21)))
            assert asked == []

    run(test())
    facts = {order: event.facts for order, event in bought(owner).items()}
    assert facts.pop("o1") == facts.pop("o3") == Facts(segments=(), birthdays=())
    assert set(facts.values()) == {None}


def test_tags_of_rules_are_recorded_and_asked_of_nobody(
    settings: Settings, owner: psycopg.Connection[Any], program: Program, asked: list[str]
) -> None:
    """A tag that a later version asks for is known of profiles that were there before."""
    tagged = EarnRule("staff", Award(fixed=9), When(tag="staff"))

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(enrolled("m1", tags=("staff", "left-handed"))))
            await ledger.publish_program(with_rules(program, tagged))
            await ledger.handle(direct(purchase("m1", "o1", at=2)))

    run(test())
    event = bought(owner)["o1"]
    assert "staff" in got(event)
    assert event.facts == Facts(tags=("staff",))
    assert asked == []
    assert b"left-handed" not in msgspec.json.encode(event)
