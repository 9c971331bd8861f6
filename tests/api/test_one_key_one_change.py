"""Every operation that changes something: one Idempotency-Key with other content is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from api.app import create_app
from ledger.settings import load_settings
from tests.api.calls import basket, change, earned
from tests.api.conftest import PROGRAM

Body = dict[str, Any]

LATER = (datetime.now(UTC) + timedelta(days=30)).isoformat()
OTHER = PROGRAM.read_text("utf-8").replace("2017-01-01T00:00:00Z", "2199-01-01T00:00:00Z")
ANOTHER = OTHER.replace("point_value: 1", "point_value: 2")


def said(*reasons: str, **more: Any) -> tuple[Body, ...]:
    """Two bodies that differ in their reason."""
    return tuple({"reason": reason, **more} for reason in reasons)


BODIES: dict[str, tuple[Body, ...]] = {
    "reserve": (
        {"reservation_id": "r1", "points": 40, "basket": [{"amount": 9_000}]},
        {"reservation_id": "r1", "points": 45, "basket": [{"amount": 9_000}]},
    ),
    "confirm": ({"points": 20}, {"points": 25}),
    "cancel": ({},),
    "redeem": (
        {"redemption_id": "x", "points": 10, "basket": [{"amount": 9_000}]},
        {"redemption_id": "y", "points": 10, "basket": [{"amount": 9_000}]},
    ),
    "donate": ({"charity_id": "trees", "points": 10}, {"charity_id": "trees", "points": 15}),
    "claim": ({"reward_id": "mug"}, {"reward_id": "film"}),
    "transfer": ({"to": "bob", "points": 10}, {"to": "bob", "points": 15}),
    "adjust": said("sorry", "very sorry", points=7),
    "freeze": said("doubt", "no doubt"),
    "unfreeze": said("cleared", "forgiven"),
    "close": said("asked", "told"),
    "merge": said("same", "the same", into="bob"),
    "hold_tier": said("guest", "friend", tier="gold", until=LATER),
    "enrol": ({"profile": {"region": "north"}}, {"profile": {"region": "south"}}),
    "update": ({"profile": {"region": "north"}}, {"profile": {"region": None}}),
    "erase": said("asked", "told"),
    "refer": ({"referrer_id": "bob", "code": "b"}, {"referrer_id": "bob", "code": "c"}),
    "survey": (
        {"survey_id": "household-profile", "completion_id": "c1", "score": 1},
        {"survey_id": "household-profile", "completion_id": "c1", "score": 2},
    ),
    "activity": (
        {"activity": "review", "reference": "1", "store_id": "s1"},
        {"activity": "review", "reference": "1", "store_id": "s2"},
    ),
    "purchase": (basket(order_id="o1"), basket(20_000, order_id="o1")),
    "return_goods": (
        {"order_id": "o3", "return_id": "b1"},
        {"order_id": "o3", "return_id": "b1", "lines": [{"line_id": "1", "amount": 1}]},
    ),
    "anonymous_purchase": (basket(order_id="o2"), basket(20_000, order_id="o2")),
    "publish_program": ({"text": OTHER}, {"text": ANOTHER}),
}
"""Of each such operation two bodies; of one whose body says nothing the other path differs."""


def operations() -> dict[str, tuple[str, str]]:
    """Method and path of every operation that the document gives an Idempotency-Key."""
    return {
        operation["operationId"]: (method.upper(), path.removeprefix("/v1"))
        for path, methods in create_app(load_settings({})).openapi()["paths"].items()
        for method, operation in methods.items()
        if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))
    }


NO_CHANGE_OF_A_MEMBER = {"make_codes"}
"""It has a test of its own: tests/api/reads/test_code_batches.py."""

OPERATIONS = {
    name: place for name, place in operations().items() if name not in NO_CHANGE_OF_A_MEMBER
}


def test_every_change_is_here() -> None:
    assert set(BODIES) == set(OPERATIONS)


def test_other_content_under_the_same_key_is_a_conflict(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "bob", 100)
        for name, (method, path) in OPERATIONS.items():
            member = f"of-{name}"

            async def sent(body: Body, held: str = "held") -> httpx.Response:
                there = path.format(member_id=member, reservation_id=held)  # noqa: B023
                return await change(client, there, body, method=method, key=name)  # noqa: B023

            await earned(client, member, 100)
            for held in ("held", "other"):
                hold = {"reservation_id": held, "points": 40, "basket": [{"amount": 9_000}]}
                assert (await change(client, f"/members/{member}/reservations", hold)).is_success
            first_body, other_body = BODIES[name][0], BODIES[name][-1]
            first = await sent(first_body)
            assert first.status_code in (200, 202) or "event" in first.json(), (name, first.text)
            same = await sent(first_body)
            assert same.status_code == first.status_code, (name, same.text)
            assert same.json().get("event") == first.json().get("event")
            other = await sent(other_body, "held" if other_body != first_body else "other")
            assert (other.status_code, other.json()["code"]) == (409, "conflict"), name

    play(story)
