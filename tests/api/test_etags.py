"""Every question has a strong ETag, and is answered 304 for who has the answer already."""

from typing import Any

import httpx

from api.app import create_app
from ledger.settings import load_settings
from tests.api.calls import change, earned

NOT_QUESTIONS = {"/livez", "/readyz", "/metrics"}


def test_every_question_is_described_with_its_304() -> None:
    paths = create_app(load_settings({})).openapi()["paths"]
    without = {
        path
        for path, methods in paths.items()
        if "get" in methods and "304" not in methods["get"]["responses"]
    }
    assert without <= NOT_QUESTIONS


def test_who_has_the_answer_is_told_so(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "m1", 5)
        many = await change(
            client, "/members/m1/adjustments", {"points": 900_000, "reason": "a gift"}
        )
        assert many.status_code == 202, many.text
        hook = await client.post(
            "/v1/webhooks", json={"url": "https://192.0.2.7/hook", "types": ["*"]}
        )
        hooks = [f"/webhooks/{hook.json()['id']}"] if hook.status_code == 201 else []
        paths = [
            "/me",
            "/keys",
            "/audit-trail",
            "/proposals",
            f"/proposals/{many.json()['id']}",
            "/webhooks",
            *hooks,
            *(f"{path}/deliveries" for path in hooks),
            "/members/m1",
            "/members/m1/balance",
            "/members/m1/lots",
            "/members/m1/history",
        ]
        for path in paths:
            first = await client.get(f"/v1{path}")
            assert first.status_code == 200, (path, first.text)
            tag = {"If-None-Match": first.headers["etag"]}
            again = await client.get(f"/v1{path}", headers=tag)
            assert (again.status_code, again.content) == (304, b""), path
            other = await client.get(f"/v1{path}", headers={"If-None-Match": '"other"'})
            assert other.status_code == 200, path

    play(story)
