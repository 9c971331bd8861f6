"""A head moves exactly between deciding and locking: the end is that of one input after the other.

Whatever is appended in between, the batch must end as if it had come second: the same outcomes, the
same events at the same positions, byte for byte.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import psycopg
import pytest
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.core.program.form import Program, Segment, SegmentWhen
from ledger.received import Outcome, Received, RecordRef, received, undecodable
from ledger.settings import Settings, load_settings
from schemas.inputs import MemberData, MemberEnrolled, Profile
from tests.ledger.events import (
    PARTITIONS,
    SHARDS,
    day,
    direct,
    erased,
    head,
    purchase,
    referral,
    reserve,
    returned,
    shares_shard,
    survey,
    updated,
)
from tests.ledger.interleaved import before_locks, interleave
from tests.ledger.opened import opened, run

(NEIGHBOUR,) = shares_shard("m1", 1)

Act = Callable[[Ledger], Awaitable[object]]


def enrolled(member: str, region: str) -> MemberEnrolled:
    """A member joins."""
    return MemberEnrolled(
        **head(member, f"enrol-{member}", 0), data=MemberData(profile=Profile(region=region))
    )


def appending(*inputs: Received) -> Act:
    """Another process appends these."""

    async def act(ledger: Ledger) -> None:
        await ledger.handle(list(inputs))

    return act


class Case(NamedTuple):
    """`before`: appended first, by whoever decides too early later. `kinds`: of the batch."""

    before: list[Received]
    batch: list[Received]
    between: Act
    kinds: list[str]


def cases(program: Program) -> dict[str, Case]:
    """By what happens in between."""
    segments = (Segment("northerners", SegmentWhen(region="north")),)
    points_double = replace(program, effective_from=day(10), segments=segments)

    async def publish(ledger: Ledger) -> None:
        await ledger.publish_program(points_double)

    bought = direct(survey("m1"), purchase("m1", "o1", amount=50_000))
    return {
        "the account's tier rises": Case(
            bought,
            direct(purchase("m1", "small", at=2), purchase("m2", "other", at=2)),
            appending(*direct(purchase("m1", "big", at=1, amount=200_000))),
            ["applied", "applied"],
        ),
        "its balance is spent": Case(
            bought,
            direct(reserve("m1", "h1", at=1), returned("m1", "o1", "r1", at=1)),
            appending(*direct(returned("m1", "o1", "r0", at=0.5))),
            ["applied", "refused"],
        ),
        "another account of the shard": Case(
            bought,
            direct(purchase("m1", "o2", at=1)),
            appending(*direct(purchase(NEIGHBOUR, "o3", at=1))),
            ["applied"],
        ),
        "the same input": Case(
            bought,
            direct(purchase("m1", "o2", at=1), purchase("m1", "o3", at=1)),
            appending(*direct(purchase("m1", "o2", at=1))),
            ["duplicate", "applied"],
        ),
        "an input of the same key with other content": Case(
            bought,
            direct(purchase("m1", "o2", at=1), purchase("m1", "o3", at=1)),
            appending(*direct(purchase("m1", "o2", at=1, amount=7))),
            ["dead_lettered", "applied"],
        ),
        "the purchase that a return waits for": Case(
            bought,
            direct(returned("m1", "o2", "r1", at=2)),
            appending(*direct(purchase("m1", "o2", at=1))),
            ["applied"],
        ),
        "a return that waits for the purchase": Case(
            bought,
            direct(purchase("m1", "o2", at=1)),
            appending(*direct(returned("m1", "o2", "r1", at=2))),
            ["applied"],
        ),
        "a program version": Case(
            direct(enrolled("m1", "north"), enrolled("m2", "south")),
            direct(purchase("m1", "o2", at=11), updated("m2", "moves", at=12, region="north")),
            publish,
            ["applied", "applied"],
        ),
        "the member is erased": Case(
            [*bought, *direct(enrolled("m1", "north"))],
            direct(
                updated("m1", "moves", at=2, region="south"),
                purchase("m1", "o2", at=2),
                enrolled("m1", "north"),
            ),
            appending(*direct(erased("m1", at=1))),
            ["refused", "refused", "duplicate"],
        ),
        "the referrer is erased": Case(
            direct(survey("m1")),
            direct(referral(NEIGHBOUR, "m1", at=2)),
            appending(*direct(erased("m1", at=1))),
            ["refused"],
        ),
        "a profile is changed": Case(
            direct(enrolled("m1", "north")),
            direct(updated("m1", "moves", at=2, region="south")),
            appending(*direct(updated("m1", "again", at=1, region="east"))),
            ["applied"],
        ),
        "a dead letter and a tick": Case(
            bought,
            [
                received(purchase("m1", "o2", at=2)),
                undecodable(RecordRef("purchases", 0, 0, None, b"?"), "not_json", "$", "No JSON."),
            ],
            appending(*direct(purchase("m1", "late", at=60))),
            ["applied", "dead_lettered"],
        ),
    }


NAMES = (
    "the account's tier rises",
    "its balance is spent",
    "another account of the shard",
    "the same input",
    "an input of the same key with other content",
    "the purchase that a return waits for",
    "a return that waits for the purchase",
    "a program version",
    "the member is erased",
    "the referrer is erased",
    "a profile is changed",
    "a dead letter and a tick",
)


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_ends_as_if_it_had_come_second(
    name: str,
    url: str,
    other_url: str,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = cases(program)[name]
    kinds, again = run(raced(url, case, monkeypatch, decided=True))
    assert kinds == case.kinds
    assert again == 1
    assert run(one_after_the_other(other_url, case)) == case.kinds
    assert stored(url) == stored(other_url)


@pytest.mark.parametrize("name", NAMES)
def test_a_small_batch_is_decided_under_its_locks_and_only_once(
    name: str,
    url: str,
    other_url: str,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = cases(program)[name]
    assert run(raced(url, case, monkeypatch, decided=False)) == (case.kinds, 0)
    assert run(one_after_the_other(other_url, case)) == case.kinds
    assert stored(url) == stored(other_url)


def test_every_case_is_tried(program: Program) -> None:
    assert set(cases(program)) == set(NAMES)


def settings_of(url: str) -> Settings:
    return load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)


async def raced(
    url: str, case: Case, monkeypatch: pytest.MonkeyPatch, *, decided: bool
) -> tuple[list[str], int]:
    """The outcomes of the batch, and how many appends were decided again. `decided`: whether the
    batch was when the other append came."""
    late = interleave if decided else before_locks
    async with opened(settings_of(url)) as one, opened(settings_of(url)) as two:
        await one.handle(case.before)
        outcomes = await late(monkeypatch, one, case.batch, lambda: case.between(two))
        return kinds_of(outcomes), one.stats.decided_again


async def one_after_the_other(url: str, case: Case) -> list[str]:
    async with opened(settings_of(url)) as ledger:
        await ledger.handle(case.before)
        await case.between(ledger)
        return kinds_of(await ledger.handle(case.batch))


def kinds_of(outcomes: list[Outcome]) -> list[str]:
    return [outcome.kind for outcome in outcomes]


def stored(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """What an append leaves behind, but for when it was written."""
    queries = {
        "events": "SELECT shard, position, member_id, version, type, occurred_at, effects,"
        " convert_from(payload, 'UTF8') FROM ledger.events ORDER BY 1, 2",
        "inputs": "SELECT shard, key, position FROM ledger.inputs ORDER BY 1, 2",
        "waiting": "SELECT shard, key, source FROM ledger.waiting ORDER BY 1, 2",
        "counts": "SELECT source, type, outcome, sum(n) FROM ledger.outcome_counts"
        " GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3",
        "dead letters": "SELECT source, type, member_id, code, path FROM ledger.dead_letters"
        " ORDER BY id",
        "profiles": "SELECT member_id, profile::text, updated_at FROM ledger.profiles ORDER BY 1",
        "keys": "SELECT member_id FROM ledger.member_keys ORDER BY 1",
        "heads": "SELECT shard, position, decided_to FROM ledger.heads ORDER BY 1",
    }
    with psycopg.connect(url) as connection:
        found = {
            name: connection.execute(query.encode()).fetchall() for name, query in queries.items()
        }
    system = [row for row in found["events"] if row[0] == -1]
    found["events"] = [row for row in found["events"] if row[0] != -1]
    assert system
    return found
