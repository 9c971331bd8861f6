"""Activities through the one door: rewarded once per activity and reference, counted, shown."""

from typing import Any

import psycopg
from msgspec.structs import replace

from audit.entries import explain
from ledger.core.program.form import Award, BirthdayWindow, EarnRule, OnActivity, Program, When
from ledger.settings import Settings
from projections.connection import connect
from schemas import inputs
from schemas.decisions import AccountEvent
from schemas.log_events import decode_account_event
from tests.ledger.events import activity, day, direct, erased, purchase, records, stretch
from tests.ledger.opened import opened, postings_sum, run
from tests.ledger.test_member_facts import BORN
from tests.ledger.test_profile_segments import enrolled
from tests.projections.history import catch_up, dump, empty

RULES = (
    EarnRule("review", Award(fixed=20), on=OnActivity("review"), activation="immediately"),
    EarnRule(
        "gift",
        Award(fixed=500),
        When(birthday=BirthdayWindow()),
        on=OnActivity(("review", "visit")),
        activation="immediately",
    ),
)


def with_activities(program: Program) -> Program:
    """The program with rules on activities, from the first day on."""
    return replace(program, effective_from=day(0.5), earn=(*program.earn, *RULES))


def events(owner: psycopg.Connection[Any], member: str) -> list[AccountEvent]:
    """The member's log."""
    rows = owner.execute(
        "SELECT payload FROM ledger.events WHERE member_id = %s ORDER BY position", (member,)
    ).fetchall()
    return [decode_account_event(row[0]) for row in rows]


def test_once_per_activity_and_reference(
    settings: Settings, url: str, owner: psycopg.Connection[Any], program: Program
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_activities(program))
            await ledger.handle(direct(enrolled("m1", at=1, birthday=BORN)))
            batch: list[inputs.InputEvent] = [
                activity("m1", "review", "book-1", store="s1"),
                activity("m1", "review", "book-2", at=11),
                replace(activity("m1", "review", "book-1", store="s1"), id="sent-again"),
                activity("m1", "visit", "book-1"),
                activity("m1", "review", "book-2", at=12),
                activity("m1", "subscription", "news"),
                activity("m2", "review", "book-1"),
            ]
            done = await ledger.handle(
                records(batch, topic="activities"), stretch(0, 7, "activities")
            )
            assert [(outcome.kind, outcome.code) for outcome in done] == [
                ("applied", None),
                ("applied", None),
                ("duplicate", None),
                ("applied", None),
                ("dead_lettered", "conflict"),
                ("refused", "unknown_activity"),
                ("applied", None),
            ]
            (again,) = await ledger.handle(direct(activity("m1", "subscription", "news")))
            assert again.kind == "duplicate", "a refusal uses up the key"
            counts = await ledger.outcome_counts()
            assert counts["activities", "refused"] == 1
            assert counts["activities", "applied"] == 4
            one, two = [(await ledger.account(member)).balances() for member in ("m1", "m2")]
            assert (one.available, two.available) == (20 + 20 + 500 + 500, 20)
            # As any record of a wrong topic.
            (stray,) = await ledger.handle(records([activity("m1", "review", "x")]), stretch(0, 1))
            assert stray.code == "wrong_topic"

    run(test())
    assert postings_sum(owner) == 0
    told = [explain(event, "USD") for event in events(owner, "m1")]
    assert [one.headline for one in told[1:]] == [
        "review of book-1 in store s1, tier none: +520 points",
        "review of book-2, tier none: +20 points",
        "visit of book-1, tier none: +500 points",
        (
            "refused activity.completed.v1: the program in force has no rule on activity"
            " 'subscription' [unknown_activity]"
        ),
    ]
    assert "birthday windows that rules ask for: -0+0" in told[1].details
    assert "birthday windows that rules ask for: none held" in told[2].details
    assert "review (fixed): +20 points" in told[1].details
    with connect(url) as session:
        catch_up(session)
        shown = dump(session)
        empty(session)
        catch_up(session)
        assert dump(session) == shown
        rows = session.execute(
            "SELECT available, granted FROM read.balances ORDER BY member_id"
        ).fetchall()
        assert [tuple(row) for row in rows] == [(1040, 1040), (20, 20)]
        lots = session.execute("SELECT rules FROM read.open_lots WHERE member_id = 'm1'").fetchall()
        assert sorted(tuple(row[0]) for row in lots) == [("gift",), ("review",), ("review", "gift")]


def test_an_activity_beside_purchases_and_of_an_erased_member(
    settings: Settings, owner: psycopg.Connection[Any], program: Program
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_activities(program))
            done = await ledger.handle(
                direct(
                    purchase("m1", "o1", at=1),
                    activity("m1", "review", "r1", at=2),
                    activity("m1", "review", "late", at=1.5),
                    purchase("m1", "o2", at=3),
                    erased("m1", at=4),
                    activity("m1", "review", "r2", at=5),
                    activity("m1", "review", "early", at=0.2),
                )
            )
            assert [(outcome.kind, outcome.code) for outcome in done] == [
                *[("applied", None)] * 5,
                ("refused", "account_erased"),
                ("refused", "account_erased"),
            ]
            account = await ledger.account("m1")
            assert (account.purchases, account.granted) == (2, 100 + 20 + 20 + 100)

    run(test())
    assert postings_sum(owner) == 0


def test_before_a_version_with_rules_on_it_an_activity_is_refused(
    settings: Settings, program: Program
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_activities(program))
            done = await ledger.handle(
                direct(activity("m1", "review", "a", at=0.4), activity("m1", "review", "b", at=0.5))
            )
            assert [outcome.code for outcome in done] == ["unknown_activity", None]

    run(test())
