"""Conditions on the member: tags by the recorded outcomes, birthdays and segments as facts."""

from datetime import date
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ledger.core.account import Account
from ledger.core.decide import decide
from ledger.core.fold import evolve
from ledger.core.program.asked import birthday_holds, window_id
from ledger.core.program.form import BirthdayWindow
from schemas import inputs
from schemas.decisions import Facts, MemberProfiled, PurchaseRewarded
from tests.core.account_tools import MINIMAL, Member, at, moment, timeline
from tests.core.test_account_conditions import fired, member_of

SEGMENTS = (
    "segments: [{id: lapsed, when: {recency_days: {at_least: 90}}},"
    " {id: regular, when: {frequency: {at_least: 4}}}]\n"
)


def bought(member: Member) -> PurchaseRewarded:
    """The latest purchase."""
    return [event for event in member.events if isinstance(event, PurchaseRewarded)][-1]


def buy_knowing(member: Member, facts: Facts, order_id: str = "X") -> None:
    """A purchase that is decided with these facts from outside."""
    member.send(
        inputs.PurchaseCompleted(
            specversion="1.0", id=f"p-{order_id}", source="t", time=moment("2017-06-01"),
            subject="m1",
            data=inputs.PurchaseData(
                order_id, "s1", "store", "RUB", (inputs.PurchaseLine("1", "a", 100),)
            ),
        ),
        facts,
    )  # fmt: skip


# --- tags -------------------------------------------------------------------------------------


def test_a_tag_holds_from_the_update_that_told_it_to_the_one_that_took_it() -> None:
    member = member_of("when: {tag: vip}")
    member.buy("2017-01-02", "A", 100)
    assert not fired(member), "nothing is known of the member"
    member.profile("2017-01-03", enrolled=True, tags=("vip", "other"))
    member.buy("2017-01-04", "B", 100)
    assert fired(member)
    member.profile("2017-01-05", region="north")
    member.buy("2017-01-06", "C", 100)
    assert fired(member), "an update that does not tell tags changes none"
    member.profile("2017-01-07", tags=("other",))
    member.buy("2017-01-08", "D", 100)
    assert not fired(member)


def test_of_several_tags_one_is_enough_and_the_event_tells_which_held() -> None:
    rules = (
        "  - {id: r, award: {fixed: 1000}, when: {tag: [vip, staff]}}\n"
        "  - {id: q, award: {fixed: 7}, when: {tag: pensioner}}\n"
    )
    member = Member(timeline(MINIMAL + rules))
    member.profile("2017-01-02", tags=("staff", "pensioner", "secret"))
    member.buy("2017-01-03", "A", 100)
    assert fired(member)
    assert bought(member).facts == Facts(tags=("pensioner", "staff"))
    assert b"secret" not in msgspec.json.encode(member.events)
    member.profile("2017-01-04", tags=())
    member.buy("2017-01-05", "B", 100)
    assert bought(member).facts == Facts(tags=())


def test_a_late_purchase_goes_by_the_tags_that_are_known_when_it_arrives() -> None:
    member = member_of("when: {tag: vip}")
    member.profile("2017-01-10", tags=("vip",))
    member.buy("2017-01-05", "late", 100)
    assert bought(member).late_by
    assert fired(member)


def test_a_version_finds_the_tags_that_it_asks_for_when_it_takes_effect() -> None:
    later = MINIMAL.replace("2017-01-01", "2017-03-01")
    rule = "  - {id: r, award: {fixed: 1000}, when: {tag: vip}}\n"
    member = Member(timeline(MINIMAL, later + rule))
    told = member.profile("2017-01-02", tags=("vip",))[-1]
    assert isinstance(told, MemberProfiled)
    assert told.outcomes == {"tag:vip": True}
    member.buy("2017-02-28", "A", 100)
    assert not fired(member)
    assert bought(member).facts is None, "the version in force asks for no tag"
    member.buy("2017-03-01", "B", 100)
    assert fired(member)


# --- birthdays --------------------------------------------------------------------------------

UTC = ZoneInfo("UTC")


@pytest.mark.parametrize(
    ("window", "birthday", "inside", "outside"),
    [
        ((0, 0), "1990-05-17", ["2026-05-17"], ["2026-05-16", "2026-05-18"]),
        ((7, 14), "1990-05-17", ["2026-05-10", "2026-05-31"], ["2026-05-09", "2026-06-01"]),
        # Over the turn of the year, both ways.
        ((5, 0), "1990-01-03", ["2025-12-29", "2026-01-03"], ["2025-12-28", "2026-01-04"]),
        ((0, 5), "1990-12-30", ["2025-12-30", "2026-01-04"], ["2025-12-29", "2026-01-05"]),
        # 29 February: on the 28th in common years.
        ((0, 0), "2000-02-29", ["2024-02-29", "2026-02-28"],
         ["2024-02-28", "2024-03-01", "2026-03-01", "2026-02-27"]),
        ((1, 1), "2000-02-29", ["2026-02-27", "2026-03-01", "2024-03-01"],
         ["2026-02-26", "2026-03-02", "2024-02-27"]),
        ((180, 180), "1990-05-17", ["2026-05-17", "2025-11-18", "2026-11-13"], ["2025-11-15"]),
        # The year of birth says nothing: some hand over 1900, some a year to come.
        ((0, 0), "2199-05-17", ["2026-05-17"], ["2026-05-16"]),
    ],
)  # fmt: skip
def test_a_birthday_window(
    window: tuple[int, int], birthday: str, inside: list[str], outside: list[str]
) -> None:
    asked = BirthdayWindow(*window)
    born = date.fromisoformat(birthday)
    for day in (*inside, *outside):
        for clock in ("T00:00:00Z", "T23:59:59Z"):
            holds = birthday_holds(asked, born, at(day + clock), UTC)
            assert holds is (day in inside), day + clock


def test_the_day_is_that_of_the_zone() -> None:
    berlin, born = ZoneInfo("Europe/Berlin"), date(1990, 5, 17)
    for when, holds in (
        ("2026-05-16T21:59:59Z", False),
        ("2026-05-16T22:00:00Z", True),
        ("2026-05-17T21:59:59Z", True),
        ("2026-05-17T22:00:00Z", False),
    ):
        assert birthday_holds(BirthdayWindow(), born, at(when), berlin) is holds, when


def test_a_rule_holds_by_its_own_window_alone() -> None:
    rules = (
        "  - {id: r, award: {fixed: 1000}, when: {birthday: {days_before: 7, days_after: 14}}}\n"
        "  - {id: day, award: {fixed: 7}, when: {birthday: {}}}\n"
    )
    member = Member(timeline(MINIMAL + rules))
    asked = member.programs.at(at("2017-06-01")).asked
    assert asked is not None
    assert [window_id(window) for window in asked.birthdays] == ["-0+0", "-7+14"]
    for order, facts, found in (
        ("A", Facts(), ["base"]),
        ("B", Facts(birthdays=()), ["base"]),
        ("C", Facts(birthdays=("-7+14",)), ["base", "r"]),
        ("D", Facts(birthdays=("-0+0", "-7+14")), ["base", "r", "day"]),
    ):
        buy_knowing(member, facts, order)
        assert [award.rule for award in bought(member).awards] == found
        assert bought(member).facts == (facts if order != "A" else None)


# --- segments ---------------------------------------------------------------------------------


def test_a_segment_holds_by_the_facts_handed_in() -> None:
    rule = "  - {id: r, award: {fixed: 1000}, when: {segment: [lapsed, regular]}}\n"
    member = Member(timeline(MINIMAL + rule + SEGMENTS))
    for order, segments, holds in (("A", (), False), ("B", ("regular",), True)):
        buy_knowing(member, Facts(segments=segments), order)
        assert fired(member) is holds
        assert bought(member).facts == Facts(segments=segments)


def test_deciding_again_from_the_event_gives_the_same() -> None:
    rules = (
        "  - {id: r, award: {fixed: 1000}, when: {segment: lapsed, tag: vip, birthday: {}}}\n"
        "  - {id: q, award: {fixed: 5}, when: {tag: vip}, limits: [{times: 1, per: day}]}\n"
    )
    member = Member(timeline(MINIMAL + rules + SEGMENTS))
    member.profile("2017-05-01", tags=("vip",))
    buy_knowing(member, Facts(segments=("lapsed",), birthdays=("-0+0",)))
    event = bought(member)
    again = Account.new("m1")
    for before in member.events[:-1]:
        evolve(again, before)
    cause = event.cause
    assert cause is not None
    repeated = inputs.PurchaseCompleted(
        specversion="1.0", id=cause.id, source=cause.source, time=moment(event.occurred_at),
        subject="m1", data=event.purchase,
    )  # fmt: skip
    assert event.facts is not None
    assert decide(again, repeated, event.occurred_at, member.programs, event.facts)[-1] == event
    assert sum(award.points for award in event.awards) == 1006


def test_a_program_that_asks_nothing_records_nothing() -> None:
    programs = timeline(MINIMAL)
    assert programs.at(at("2017-06-01")).asked is None
    assert not programs.asks_outside
    member = Member(programs)
    member.profile("2017-01-02", tags=("vip",), birthday=date(1990, 1, 2))
    member.buy("2017-01-02", "A", 100)
    assert b"facts" not in msgspec.json.encode(bought(member))
    assert b"1990" not in msgspec.json.encode(member.events)


def test_only_tags_are_answered_without_a_look_beyond_the_account() -> None:
    tagged = MINIMAL + "  - {id: r, award: {fixed: 1}, when: {tag: vip}}\n"
    assert not timeline(tagged).asks_outside
    for asking in ("{birthday: {}}", "{segment: lapsed}"):
        rule = f"  - {{id: r, award: {{fixed: 1}}, when: {asking}}}\n"
        assert timeline(MINIMAL + rule + SEGMENTS).asks_outside
