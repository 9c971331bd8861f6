"""Webhooks over the API: added, changed, looked at, repeated; and what is refused."""

from typing import Any

import httpx

from api.scopes import ROLES, Scope

URL = "https://93.184.215.14/hook"
"""Public, and not resolved by any name server."""


async def added(client: httpx.AsyncClient, **more: Any) -> Any:
    """A new webhook."""
    body = {"url": URL, "types": ["points.*"], **more}
    answer = await client.post("/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_life_of_a_webhook(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        made = await added(client, description="the CRM")
        id_ = made["webhook"]["id"]
        assert made["secret"].startswith("whsec_")
        assert made["webhook"]["created_by"] == "key:till"
        (item,) = (await client.get("/v1/webhooks")).json()["items"]
        assert item == made["webhook"]
        assert "secret" not in item
        changed = await client.patch(f"/v1/webhooks/{id_}", json={"types": ["*"]})
        assert changed.json() == {**item, "types": ["*"]}
        paused = await client.patch(f"/v1/webhooks/{id_}", json={"status": "paused"})
        assert (paused.json()["status"], paused.json()["paused_because"]) == ("paused", "by hand")
        refused = await client.post(f"/v1/webhooks/{id_}/test")
        assert (refused.status_code, refused.json()["code"]) == (409, "webhook_paused")
        resumed = await client.post(f"/v1/webhooks/{id_}/resume")
        assert resumed.json()["status"] == "active"
        rotated = (await client.post(f"/v1/webhooks/{id_}/secret/rotate")).json()
        assert rotated["secret"] != made["secret"]
        again = await client.post(f"/v1/webhooks/{id_}/secret/rotate")
        assert again.headers["cache-control"] == "no-store"
        assert again.headers["x-content-type-options"] == "nosniff"
        assert rotated["webhook"]["former_secret_until"] is not None
        assert (await client.delete(f"/v1/webhooks/{id_}")).status_code == 204
        assert (await client.get("/v1/webhooks")).json() == {"items": []}
        for method, path in (
            ("GET", ""),
            ("DELETE", ""),
            ("PATCH", ""),
            ("POST", "/resume"),
            ("POST", "/test"),
            ("POST", "/secret/rotate"),
            ("GET", "/deliveries"),
        ):
            gone = await client.request(
                method, f"/v1/webhooks/{id_}{path}", json={} if method == "PATCH" else None
            )
            assert (gone.status_code, gone.json()["code"]) == (404, "unknown_webhook"), path

    play(story)


def test_deliveries_by_pages(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        id_ = (await added(client))["webhook"]["id"]
        made = [(await client.post(f"/v1/webhooks/{id_}/test")).json() for _ in range(5)]
        path = f"/v1/webhooks/{id_}/deliveries"
        first = (await client.get(path, params={"limit": 2})).json()
        second = (await client.get(path, params={"limit": 3, "after": first["next"]})).json()
        found = [one["id"] for one in first["items"] + second["items"]]
        assert found == [one["id"] for one in reversed(made)]
        assert second["next"] is None
        assert first["items"][0]["payload"]["type"] == "webhook.test"
        assert (await client.get(path, params={"status": "done"})).json()["items"] == []
        again = await client.post(f"/v1/deliveries/{found[0]}/repeat")
        assert (again.status_code, again.json()["id"]) == (202, found[0])
        for params in ({"after": "x"}, {"limit": 0}, {"limit": 501}, {"status": "lost"}):
            assert (await client.get(path, params=params)).status_code == 422, params
        gone = await client.post("/v1/deliveries/msg_0/repeat")
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_delivery")

    play(story)


def test_what_cannot_be_a_webhook(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for body, code in (
            ({"url": "http://93.184.215.14/", "types": ["*"]}, "https_required"),
            ({"url": "https://127.0.0.1/", "types": ["*"]}, "private_address"),
            ({"url": "https://169.254.169.254/latest", "types": ["*"]}, "private_address"),
            ({"url": "https://localhost:5432/", "types": ["*"]}, "private_address"),
            ({"url": "file:///etc/passwd", "types": ["*"]}, "bad_url"),
            ({"url": URL, "types": []}, "event_types_missing"),
            ({"url": URL, "types": ["points.won"]}, "bad_event_type"),
            ({"url": URL, "types": ["*"], "description": "x" * 501}, "description_too_long"),
            ({"url": URL, "types": ["*"], "secret": "mine"}, "invalid_field"),
            ({"url": URL}, "invalid_field"),
        ):
            answer = await client.post("/v1/webhooks", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, code), body
        id_ = (await added(client))["webhook"]["id"]
        changed = await client.patch(f"/v1/webhooks/{id_}", json={"url": "https://[::1]/"})
        assert changed.json()["code"] == "private_address"
        assert (await client.get(f"/v1/webhooks/{id_}")).json()["url"] == URL

    play(story)


def test_there_is_a_bound(play: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("api.webhooks.subscriptions.SUBSCRIPTIONS_MAX", 2)

    async def story(client: httpx.AsyncClient) -> None:
        for _ in range(2):
            await added(client)
        answer = await client.post("/v1/webhooks", json={"url": URL, "types": ["*"]})
        assert (answer.status_code, answer.json()["code"]) == (409, "webhooks_full")

    play(story)


def test_only_operators_may() -> None:
    assert [role for role, scopes in ROLES.items() if Scope.WEBHOOKS in scopes] == ["operator"]


def test_ids_that_cannot_be_are_refused(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for method, path in (
            ("GET", "/webhooks/%00"),
            ("DELETE", "/webhooks/wh_%00"),
            ("GET", "/webhooks/%00/deliveries"),
            ("POST", "/webhooks/%00/test"),
            ("POST", "/deliveries/msg_%00/repeat"),
        ):
            answer = await client.request(method, f"/v1{path}")
            assert answer.status_code == 422, path

    play(story)
