"""Requests of the tests, as short as they can be said."""

from itertools import count
from typing import Any

import httpx

_keys = count(1)


def basket(amount: int = 10_000, **more: Any) -> dict[str, Any]:
    """A basket of one line."""
    return {
        "store_id": "s1",
        "channel": "store",
        "currency": "USD",
        "lines": [{"line_id": "1", "sku": "x", "amount": amount}],
        **more,
    }


async def change(
    client: httpx.AsyncClient,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    key: str | None = None,
    method: str = "POST",
    who: str = "till",
) -> httpx.Response:
    """One change, under a new key unless one is named."""
    headers = {"Idempotency-Key": key or f"k{next(_keys)}", "X-Client": who}
    return await client.request(method, f"/v1{path}", json=body or {}, headers=headers)


async def earned(client: httpx.AsyncClient, member: str, points: int) -> None:
    """Give a member points by a purchase."""
    order = f"o{next(_keys)}"
    answer = await change(
        client, f"/members/{member}/purchases", basket(points * 100, order_id=order)
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["balance"]["available"] >= points
