"""The client for asyncio."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import random
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from points_client import operations
from points_client.answers import Change, Ingested, Preview, Proposal
from points_client.basket import Basket
from points_client.calls import AGAIN, Call, pause_before
from points_client.client import (
    PAUSE_SECONDS,
    PAUSE_SECONDS_MAX,
    TIMEOUT_SECONDS,
    TRIES_MAX,
)
from points_client.errors import Unavailable
from points_client.operations import PointsBasket

T = TypeVar("T")


class AsyncClient:
    """One server, one key, one event loop."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        tries: int = TRIES_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
        drawn: Callable[[], float] = random,
    ) -> None:
        """`url`: of the server, without /v1; `key`: an API key, or a token of the OIDC issuer;
        `drawn`: a random number from 0 to 1, for each pause between two tries."""
        self._tries = tries
        self._drawn = drawn
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=timeout,
            transport=transport,
            headers={"Authorization": f"Bearer {key}"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send until there is an answer. Raises Problem, Unavailable."""
        said = "no try was allowed"
        for tried in range(1, self._tries + 1):
            response = None
            try:
                response = await self._http.send(call.request(self._http))
                if response.status_code not in AGAIN:
                    return call.result(response)
                said = f"the server answered {response.status_code}"
            except httpx.TransportError as error:
                said = f"{type(error).__name__} {error}".strip()
            if tried < self._tries:
                await asyncio.sleep(
                    pause_before(tried, response, PAUSE_SECONDS, PAUSE_SECONDS_MAX, self._drawn())
                )
        raise Unavailable(f"{call.path}: no answer after {self._tries} tries ({said}).", call.key)

    async def preview(self, member_id: str, basket: Basket, *, lang: str = "en") -> Preview:
        """What the basket would earn, what points may pay of it, and why rules give nothing."""
        return await self.send(operations.preview(member_id, basket, lang))

    async def reserve(
        self,
        member_id: str,
        reservation_id: str,
        points: int,
        *,
        basket: PointsBasket | None = None,
        ttl_seconds: int | None = None,
        key: str | None = None,
    ) -> Change:
        """Hold points for a purchase; `basket`: see `Basket.for_points`."""
        return await self.send(
            operations.reserve(member_id, reservation_id, points, basket, ttl_seconds, key)
        )

    async def confirm(
        self,
        member_id: str,
        reservation_id: str,
        *,
        points: int | None = None,
        order_id: str | None = None,
        key: str | None = None,
    ) -> Change:
        """Spend a reservation, or only `points` of it; the rest goes back."""
        return await self.send(operations.confirm(member_id, reservation_id, points, order_id, key))

    async def cancel(
        self, member_id: str, reservation_id: str, *, key: str | None = None
    ) -> Change:
        """Give a reservation's points back."""
        return await self.send(operations.cancel(member_id, reservation_id, key))

    async def redeem(
        self,
        member_id: str,
        redemption_id: str,
        points: int,
        *,
        order_id: str | None = None,
        basket: PointsBasket | None = None,
        key: str | None = None,
    ) -> Change:
        """Spend points at once."""
        return await self.send(
            operations.redeem(member_id, redemption_id, points, order_id, basket, key)
        )

    async def purchase(
        self,
        member_id: str | None,
        order_id: str,
        basket: Basket,
        *,
        redemption_id: str | None = None,
        occurred_at: datetime | None = None,
        key: str | None = None,
    ) -> Change:
        """A purchase was paid. Known by its `order_id`, under any key."""
        return await self.send(
            operations.purchase(member_id, order_id, basket, redemption_id, occurred_at, key)
        )

    async def return_goods(
        self,
        member_id: str,
        order_id: str,
        return_id: str,
        *,
        lines: Mapping[str, int] | None = None,
        occurred_at: datetime | None = None,
        key: str | None = None,
    ) -> Change:
        """Goods came back: the amounts of `lines` by their id, or all that is left of the order."""
        return await self.send(
            operations.return_goods(member_id, order_id, return_id, lines, occurred_at, key)
        )

    async def transfer(
        self, member_id: str, to: str, points: int, *, key: str | None = None
    ) -> Change:
        """Give points to another member."""
        return await self.send(
            operations.simple(member_id, "transfers", {"to": to, "points": points}, key)
        )

    async def donate(
        self, member_id: str, charity_id: str, points: int, *, key: str | None = None
    ) -> Change:
        """Give points to a charity of the program."""
        return await self.send(
            operations.simple(
                member_id, "donations", {"charity_id": charity_id, "points": points}, key
            )
        )

    async def claim(self, member_id: str, reward_id: str, *, key: str | None = None) -> Change:
        """Take one of a reward of the catalogue."""
        return await self.send(
            operations.simple(member_id, "claims", {"reward_id": reward_id}, key)
        )

    async def adjust(
        self,
        member_id: str,
        points: int,
        reason: str,
        *,
        allow_debt: bool | None = None,
        expires_at: datetime | None = None,
        key: str | None = None,
    ) -> Change | Proposal:
        """Give points by hand, or below 0 take them. Many points wait for another person."""
        return await self.send(
            operations.adjust(member_id, points, reason, allow_debt, expires_at, key)
        )

    async def enrol(
        self, member_id: str, profile: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Change:
        """Enrol a member with what the CRM knows: birthday, region, tags, consents."""
        return await self.send(operations.simple(member_id, "enrolment", {"profile": profile}, key))

    async def update(
        self, member_id: str, profile: Mapping[str, Any], *, key: str | None = None
    ) -> Change:
        """Change a profile: a key left out stays, None forgets."""
        return await self.send(
            operations.simple(member_id, "profile", {"profile": profile}, key, method="PATCH")
        )

    async def erase(
        self, member_id: str, *, reason: str | None = None, key: str | None = None
    ) -> Change:
        """Forget all personal data of a member, for ever."""
        return await self.send(operations.simple(member_id, "erasure", {"reason": reason}, key))

    async def refer(
        self, member_id: str, referrer_id: str | None, code: str, *, key: str | None = None
    ) -> Change:
        """Register who brought the member in. `referrer_id` None: whose referral code it is."""
        return await self.send(
            operations.simple(
                member_id, "referral", {"referrer_id": referrer_id, "code": code}, key
            )
        )

    async def activity(
        self,
        member_id: str,
        activity: str,
        reference: str,
        *,
        store_id: str | None = None,
        key: str | None = None,
    ) -> Change:
        """A review, visit, subscription … was completed."""
        return await self.send(
            operations.simple(
                member_id,
                "activities",
                {"activity": activity, "reference": reference, "store_id": store_id},
                key,
            )
        )

    async def survey(
        self,
        member_id: str,
        survey_id: str,
        completion_id: str,
        *,
        score: int | None = None,
        key: str | None = None,
    ) -> Change:
        """A survey was completed."""
        return await self.send(
            operations.simple(
                member_id,
                "surveys",
                {"survey_id": survey_id, "completion_id": completion_id, "score": score},
                key,
            )
        )

    async def freeze(self, member_id: str, reason: str, *, key: str | None = None) -> Change:
        """Stop all spending."""
        return await self.send(operations.simple(member_id, "freeze", {"reason": reason}, key))

    async def unfreeze(self, member_id: str, reason: str, *, key: str | None = None) -> Change:
        """Allow spending again."""
        return await self.send(operations.simple(member_id, "unfreeze", {"reason": reason}, key))

    async def close_account(self, member_id: str, reason: str, *, key: str | None = None) -> Change:
        """End the account; what is left is forfeited after the program's notice."""
        return await self.send(operations.simple(member_id, "close", {"reason": reason}, key))

    async def merge(
        self, member_id: str, into: str, reason: str, *, key: str | None = None
    ) -> Change:
        """End the account and move all that it holds to another."""
        return await self.send(
            operations.simple(member_id, "merge", {"into": into, "reason": reason}, key)
        )

    async def ingest(self, events: Sequence[Mapping[str, Any]]) -> Ingested:
        """CloudEvents into Kafka, up to 1,000 at once. Raises Unavailable as a whole only."""
        return await self.send(operations.ingest(events))
