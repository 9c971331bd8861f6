"""One call of the API as a value: what is sent, and what is to be made of the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
import msgspec

from points_client.errors import Problem, Unavailable

T = TypeVar("T")

ACCEPTED = 202

AGAIN = frozenset((408, 429, 502, 503, 504))
"""Statuses after which the same call may go through."""

BROKEN = 500
"""The server failed, before a change was made or after."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """`key`: the Idempotency-Key of a change; "" for a question. `waiting`: what the answer is that
    it waits for another person (202)."""

    method: str
    path: str
    answer: Any
    body: Any = None
    params: Mapping[str, str] | None = None
    key: str = ""
    waiting: Any = None

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """As httpx sends it."""
        headers = {"Idempotency-Key": self.key} if self.key else {}
        content = None
        if self.body is not None:
            content = msgspec.json.encode(self.body)
            headers["Content-Type"] = "application/json"
        return client.build_request(
            self.method, "/v1" + self.path, params=self.params, content=content, headers=headers
        )

    def result(self, response: httpx.Response) -> T:
        """What the answer says. Raises Problem, and Unavailable where the server failed."""
        if response.is_success:
            waits = self.waiting is not None and response.status_code == ACCEPTED
            kind = self.waiting if waits else self.answer
            found: T = msgspec.json.decode(response.content, type=kind)
            return found
        try:
            body = msgspec.json.decode(response.content, type=dict[str, Any])
        except msgspec.DecodeError:  # a proxy's own page
            body = {}
        problem = Problem(response.status_code, body, self.key)
        if self.key and response.status_code == BROKEN:
            raise Unavailable(f"{self.path}: the server failed ({problem}).", self.key)
        raise problem


def change(
    path: str,
    answer: type[T],
    body: Mapping[str, Any],
    key: str | None,
    occurred_at: datetime | None = None,
    method: str = "POST",
) -> Call[T]:
    """A change; without `key` under a new one. Keys of `body` that are None are left out."""
    params = None if occurred_at is None else {"occurred_at": occurred_at.isoformat()}
    told = {name: value for name, value in body.items() if value is not None}
    return Call(method, path, answer, told, params, key or uuid4().hex)


def member(member_id: str, rest: str) -> str:
    """The path of a member's resource."""
    return f"/members/{quote(member_id, safe='')}/{rest}"


def pause_before(
    tried: int, response: httpx.Response | None, first: float, most: float, drawn: float
) -> float:
    """Seconds until the next try: a part of a bound that is twice as large after each, `drawn` from
    0 to 1, so that callers who were turned away together do not come back together; after the
    server's Retry-After, if there is one, which counts up to `most`."""
    pause: float = drawn * min(first * 2 ** (tried - 1), most)
    if response is not None:
        asked = response.headers.get("retry-after", "")
        if asked.isdigit():
            pause += min(float(asked), most)
    return pause
