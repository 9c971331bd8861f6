"""Changes that are known by an id in their body: one Idempotency-Key never stands for two."""

import asyncio
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest

from audit.verify import verify
from ledger.settings import Settings
from tests.api.calls import basket, change, earned
from tests.api.conftest import client_of, opened

Body = dict[str, Any]


class Kind(NamedTuple):
    """An operation, a body, one with another id in it, and one with the first's id that says
    something else; both may be made, under keys of their own."""

    path: str
    first: Body
    other: Body
    changed: Body


ORDERS = (basket(order_id="p1"), basket(order_id="p2"), basket(20_000, order_id="p1"))

KINDS = {
    "purchase": Kind(
        "/members/anna/purchases",
        *ORDERS,
    ),
    "return": Kind(
        "/members/anna/returns",
        {"order_id": "bought", "return_id": "b1", "lines": [{"line_id": "1", "amount": 100}]},
        {"order_id": "bought", "return_id": "b2", "lines": [{"line_id": "1", "amount": 100}]},
        {"order_id": "bought", "return_id": "b1"},
    ),
    "a return that waits": Kind(
        "/members/anna/returns",
        {"order_id": "unknown", "return_id": "b1"},
        {"order_id": "unknown", "return_id": "b2"},
        {"order_id": "unknown", "return_id": "b1", "lines": [{"line_id": "1", "amount": 1}]},
    ),
    "survey": Kind(
        "/members/anna/surveys",
        {"survey_id": "household-profile", "completion_id": "c1"},
        {"survey_id": "household-profile", "completion_id": "c2"},
        {"survey_id": "household-profile", "completion_id": "c1", "score": 2},
    ),
    "activity": Kind(
        "/members/anna/activities",
        {"activity": "review", "reference": "1"},
        {"activity": "review", "reference": "2"},
        {"activity": "review", "reference": "1", "store_id": "s2"},
    ),
    "referral": Kind(
        "/members/carl/referral",
        {"referrer_id": "anna", "code": "a"},
        {"referrer_id": "bob", "code": "a"},
        {"referrer_id": "anna", "code": "b"},
    ),
    "an input that is passed on": Kind(
        "/members/dora/purchases",
        *ORDERS,
    ),
    "anonymous purchase": Kind(
        "/purchases",
        *ORDERS,
    ),
}


async def prepared(client: httpx.AsyncClient) -> None:
    """Two members with points, of whom one has bought something; a third is merged into her."""
    for member in ("anna", "bob", "dora"):
        await earned(client, member, 100)
    body = basket(order_id="bought")
    assert (await change(client, "/members/anna/purchases", body)).is_success
    body = {"into": "anna", "reason": "same"}
    assert (await change(client, "/members/dora/merge", body)).is_success


def refused(answer: httpx.Response) -> bool:
    """Whether it is the conflict."""
    return answer.status_code == 409 and answer.json()["code"] == "conflict"


def events(url: str) -> int:
    """How many the log has."""
    with psycopg.connect(url) as owner:
        row = owner.execute("SELECT count(*) FROM ledger.events").fetchone()
        assert row is not None
        return int(row[0])


def rows(url: str) -> int:
    """How many dedupe rows there are."""
    with psycopg.connect(url) as owner:
        row = owner.execute("SELECT count(*) FROM ledger.inputs").fetchone()
        assert row is not None
        return int(row[0])


def check_log(url: str) -> None:
    """The audit finds nothing."""
    assert verify(url, jobs=1, read_models=False).findings == []


@pytest.mark.parametrize("name", KINDS)
def test_one_key_is_one_change_for_ever(name: str, settings: Settings, ledger_url: str) -> None:
    kind = KINDS[name]

    async def story() -> None:
        async with opened(settings) as app, client_of(app) as client:
            await prepared(client)
            first = await change(client, kind.path, kind.first, key="once")
            assert first.status_code == 200 or "event" in first.json(), first.text
            known = events(ledger_url), rows(ledger_url)
            assert refused(await change(client, kind.path, kind.other, key="once"))
            assert refused(await change(client, kind.path, kind.changed, key="once"))
        async with opened(settings) as app, client_of(app) as client:
            assert refused(await change(client, kind.path, kind.other, key="once"))
            assert refused(await change(client, kind.path, kind.changed, key="once"))
            for key in ("once", "second"):
                again = await change(client, kind.path, kind.first, key=key)
                assert again.status_code == first.status_code
                assert again.json()["event"] == first.json()["event"]
                assert again.json().get("repeated", not first.is_success)
            assert (events(ledger_url), rows(ledger_url)) == known
            for key, who in (("another", "till"), ("once", "other-till")):
                body = kind.other if key == "another" else {**kind.first, **_later(kind.other)}
                made = await change(client, kind.path, body, key=key, who=who)
                assert made.status_code == first.status_code or "event" in made.json(), made.text
            with psycopg.connect(ledger_url) as owner:
                assert owner.execute("SELECT count(*) FROM ledger.dead_letters").fetchone() == (0,)

    asyncio.run(story())
    check_log(ledger_url)


def _later(body: Body) -> Body:
    """The ids of a body, but others."""
    ids = ("order_id", "return_id", "completion_id", "reference")
    told = {name: f"{body[name]}-later" for name in ids if name in body}
    return told or {"referrer_id": "bob"}


@pytest.mark.parametrize("name", KINDS)
def test_of_two_at_once_one_is_made(name: str, play: Any, ledger_url: str) -> None:
    kind = KINDS[name]

    async def story(client: httpx.AsyncClient) -> None:
        await prepared(client)
        answers = await asyncio.gather(
            *(change(client, kind.path, each, key="once") for each in (kind.first, kind.other) * 5)
        )
        made = {str(each.json()["event"]) for each in answers if not refused(each)}
        assert len(made) == 1
        assert sum(map(refused, answers)) == 5

    play(story)
    check_log(ledger_url)


def test_two_programs_at_once_make_one_change_of_each_key(
    settings: Settings, ledger_url: str
) -> None:
    """Anonymous purchases of one key are in shards of their own, which do not wait for each other:
    two APIs, each with orders that the other does not have, and the keys in another order."""
    pairs = 60

    async def story() -> None:
        async with (
            opened(settings) as one,
            opened(settings) as two,
            client_of(one) as a,
            client_of(two) as b,
        ):
            answers = await asyncio.gather(
                *(
                    change(client, "/purchases", basket(order_id=f"{name}{n}"), key=f"k{n}")
                    for name, client, keys in (
                        ("a", a, range(pairs)),
                        ("b", b, reversed(range(pairs))),
                    )
                    for n in keys
                )
            )
            assert sum(each.status_code == 200 for each in answers) == pairs
            assert sum(map(refused, answers)) == pairs

    asyncio.run(story())
    assert rows(ledger_url) == 2 * pairs
    check_log(ledger_url)
