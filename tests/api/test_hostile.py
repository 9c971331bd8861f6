"""Requests that mean harm: texts that are code elsewhere, other members' data, other sites."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api.app import create_app
from ledger.settings import load_settings
from tests.api.calls import basket, change, earned

ATTACKS = (
    "' OR '1'='1",
    "x'; DROP TABLE ledger.events; --",
    "1 UNION SELECT secret_hash FROM api.keys",
    "%' OR true --",
    "$(id)",
    "`id`",
    "{{7*7}}",
    "../../../../etc/passwd",
    "..\\..\\secret",
    "<script>alert(1)</script>",
    "\u202etxt.exe",
)
"""Code of SQL, shells, templates, paths and browsers."""

DOCUMENT = create_app(load_settings({})).openapi()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
REFUSED = {400, 404, 415, 422}

GOOD = {"letter_id": "1", "version": "abcd", "job_id": "0" * 32, "name": "sales"}
"""Values of path parameters that lead to no change; `x1` fits the others."""


def parameters(operation: dict[str, Any], where: str) -> list[str]:
    return [each["name"] for each in operation.get("parameters", ()) if each["in"] == where]


def filled(path: str, operation: dict[str, Any], **other: str) -> str:
    values = {name: GOOD.get(name, "x1") for name in parameters(operation, "path")}
    if "projections" in path:
        values["name"] = "balances"
    return path.format(**{**values, **other})


@pytest.mark.parametrize("attack", ATTACKS)
def test_code_in_a_path_or_a_question_is_a_text_like_any_other(play: Any, attack: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 10)
        for method, path, operation in OPERATIONS:
            headers = {"Idempotency-Key": "k"}
            for name in parameters(operation, "path"):
                there = filled(path, operation, **{name: quote(attack, safe="")})
                answer = await client.request(method, there, json={}, headers=headers)
                assert answer.status_code in REFUSED | {405}, (method, there, answer.text)
            for name in parameters(operation, "query"):
                asked = {name: attack}
                answer = await client.request(
                    method, filled(path, operation), params=asked, json={}, headers=headers
                )
                nothing = answer.status_code == 200 and answer.json()["items"] == []
                assert nothing or answer.status_code in REFUSED, (method, path, asked, answer.text)
        balance = await client.get("/v1/members/anna/balance")
        assert balance.json()["available"] == 10

    play(story)


@pytest.mark.parametrize("attack", ATTACKS)
def test_code_in_a_body_is_kept_as_it_was_written(play: Any, attack: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        given = await change(
            client, "/members/anna/adjustments", {"points": 5, "reason": attack}, key=quote(attack)
        )
        assert given.status_code == 200, given.text
        assert given.json()["decision"]["reason"] == attack
        told = await client.get("/v1/members/anna/explain")
        assert attack in str(told.json()["explanation"]) or repr(attack)[1:-1] in str(told.json())
        assert told.headers["content-type"] == "application/json"
        assert told.headers["x-content-type-options"] == "nosniff"

    play(story)


def test_nothing_of_one_member_is_had_through_another(play: Any) -> None:
    """A reservation, an order, a cursor: each belongs to the member in whose path it was made."""

    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 100)
        order = "order-of-anna"
        await change(client, "/members/anna/purchases", basket(10_000, order_id=order))
        await earned(client, "eve", 10)
        paid_for = [{"amount": 9_000}]
        held = {"reservation_id": "r1", "points": 40, "basket": paid_for}
        assert (await change(client, "/members/anna/reservations", held)).status_code == 200
        for what in ("confirm", "cancel"):
            taken = await change(client, f"/members/eve/reservations/r1/{what}")
            assert (taken.status_code, taken.json()["code"]) == (422, "unknown_reservation")
        back = await change(client, "/members/eve/returns", {"order_id": order, "return_id": "b1"})
        assert back.json()["outcome"] == "waiting", back.text  # for a purchase of eve's own
        found = await client.get("/v1/members/eve/explain", params={"order": order})
        assert (found.status_code, found.json()["code"]) == (404, "unknown_order")
        page = await client.get("/v1/members/anna/history", params={"limit": 1})
        cursor = page.json()["next"]
        other = await client.get("/v1/members/eve/history", params={"cursor": cursor})
        assert (other.status_code, other.json()["code"]) == (422, "bad_cursor")
        balance = (await client.get("/v1/members/anna/balance")).json()
        assert (balance["available"], balance["reserved"]) == (160, 40)
        assert (await client.get("/v1/members/eve/balance")).json()["available"] == 10

    play(story)


def test_another_site_is_given_nothing(play: Any) -> None:
    """A browser reads no answer across sites, and asks before it sends a key: both are refused."""

    async def story(client: httpx.AsyncClient) -> None:
        foreign = {"Origin": "https://evil.example"}
        asked = await client.options(
            "/v1/members/anna/redemptions",
            headers=foreign
            | {
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,idempotency-key",
            },
        )
        assert asked.status_code == 405
        read = await client.get("/v1/members", headers=foreign)
        # What a form of another page can send without asking is no JSON.
        sent = [
            await client.post(
                "/v1/members/anna/adjustments",
                content=b'{"points": 5, "reason": "x"}',
                headers=foreign | {"Content-Type": kind, "Idempotency-Key": "k"},
            )
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
        ]
        assert [each.status_code for each in sent] == [415, 415, 415]
        for answer in (asked, read, *sent):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "set-cookie" not in answer.headers

    play(story)
