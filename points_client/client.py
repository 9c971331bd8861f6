"""The client for programs that wait."""

import time
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
from points_client.errors import Unavailable
from points_client.operations import PointsBasket

T = TypeVar("T")

TRIES_MAX = 8
"""Tries of one call; with the pauses eight seconds on average, sixteen at most, which is a restart
of the server."""

PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.2, 5.0
"""The bound of the first pause between two tries, and of the longest: each is a random part of its
bound."""

TIMEOUT_SECONDS = 10.0
"""For one try: a till that waits longer has lost its customer."""


class Client:
    """One server, one key. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        tries: int = TRIES_MAX,
        transport: httpx.BaseTransport | None = None,
        drawn: Callable[[], float] = random,
    ) -> None:
        """`url`: of the server, without /v1; `key`: an API key, or a token of the OIDC issuer;
        `drawn`: a random number from 0 to 1, for each pause between two tries."""
        self._tries = tries
        self._drawn = drawn
        self._http = httpx.Client(
            base_url=url,
            timeout=timeout,
            transport=transport,
            headers={"Authorization": f"Bearer {key}"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send until there is an answer. Raises Problem, Unavailable."""
        said = "no try was allowed"
        for tried in range(1, self._tries + 1):
            response = None
            try:
                response = self._http.send(call.request(self._http))
                if response.status_code not in AGAIN:
                    return call.result(response)
                said = f"the server answered {response.status_code}"
            except httpx.TransportError as error:
                said = f"{type(error).__name__} {error}".strip()
            if tried < self._tries:
                drawn = self._drawn()
                time.sleep(pause_before(tried, response, PAUSE_SECONDS, PAUSE_SECONDS_MAX, drawn))
        raise Unavailable(f"{call.path}: no answer after {self._tries} tries ({said}).", call.key)

    def preview(self, member_id: str, basket: Basket, *, lang: str = "en") -> Preview:
        """What the basket would earn, what points may pay of it, and why rules give nothing."""
        return self.send(operations.preview(member_id, basket, lang))

    def reserve(
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
        return self.send(
            operations.reserve(member_id, reservation_id, points, basket, ttl_seconds, key)
        )

    def confirm(
        self,
        member_id: str,
        reservation_id: str,
        *,
        points: int | None = None,
        order_id: str | None = None,
        key: str | None = None,
    ) -> Change:
        """Spend a reservation, or only `points` of it; the rest goes back."""
        return self.send(operations.confirm(member_id, reservation_id, points, order_id, key))

    def cancel(self, member_id: str, reservation_id: str, *, key: str | None = None) -> Change:
        """Give a reservation's points back."""
        return self.send(operations.cancel(member_id, reservation_id, key))

    def redeem(
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
        return self.send(operations.redeem(member_id, redemption_id, points, order_id, basket, key))

    def purchase(
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
        return self.send(
            operations.purchase(member_id, order_id, basket, redemption_id, occurred_at, key)
        )

    def return_goods(
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
        return self.send(
            operations.return_goods(member_id, order_id, return_id, lines, occurred_at, key)
        )

    def transfer(self, member_id: str, to: str, points: int, *, key: str | None = None) -> Change:
        """Give points to another member."""
        return self.send(
            operations.simple(member_id, "transfers", {"to": to, "points": points}, key)
        )

    def donate(
        self, member_id: str, charity_id: str, points: int, *, key: str | None = None
    ) -> Change:
        """Give points to a charity of the program."""
        return self.send(
            operations.simple(
                member_id, "donations", {"charity_id": charity_id, "points": points}, key
            )
        )

    def claim(self, member_id: str, reward_id: str, *, key: str | None = None) -> Change:
        """Take one of a reward of the catalogue."""
        return self.send(operations.simple(member_id, "claims", {"reward_id": reward_id}, key))

    def adjust(
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
        return self.send(operations.adjust(member_id, points, reason, allow_debt, expires_at, key))

    def enrol(
        self, member_id: str, profile: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> Change:
        """Enrol a member with what the CRM knows: birthday, region, tags, consents."""
        return self.send(operations.simple(member_id, "enrolment", {"profile": profile}, key))

    def update(
        self, member_id: str, profile: Mapping[str, Any], *, key: str | None = None
    ) -> Change:
        """Change a profile: a key left out stays, None forgets."""
        return self.send(
            operations.simple(member_id, "profile", {"profile": profile}, key, method="PATCH")
        )

    def erase(self, member_id: str, *, reason: str | None = None, key: str | None = None) -> Change:
        """Forget all personal data of a member, for ever."""
        return self.send(operations.simple(member_id, "erasure", {"reason": reason}, key))

    def refer(
        self, member_id: str, referrer_id: str | None, code: str, *, key: str | None = None
    ) -> Change:
        """Register who brought the member in. `referrer_id` None: whose referral code it is."""
        return self.send(
            operations.simple(
                member_id, "referral", {"referrer_id": referrer_id, "code": code}, key
            )
        )

    def activity(
        self,
        member_id: str,
        activity: str,
        reference: str,
        *,
        store_id: str | None = None,
        key: str | None = None,
    ) -> Change:
        """A review, visit, subscription … was completed."""
        return self.send(
            operations.simple(
                member_id,
                "activities",
                {"activity": activity, "reference": reference, "store_id": store_id},
                key,
            )
        )

    def survey(
        self,
        member_id: str,
        survey_id: str,
        completion_id: str,
        *,
        score: int | None = None,
        key: str | None = None,
    ) -> Change:
        """A survey was completed."""
        return self.send(
            operations.simple(
                member_id,
                "surveys",
                {"survey_id": survey_id, "completion_id": completion_id, "score": score},
                key,
            )
        )

    def freeze(self, member_id: str, reason: str, *, key: str | None = None) -> Change:
        """Stop all spending."""
        return self.send(operations.simple(member_id, "freeze", {"reason": reason}, key))

    def unfreeze(self, member_id: str, reason: str, *, key: str | None = None) -> Change:
        """Allow spending again."""
        return self.send(operations.simple(member_id, "unfreeze", {"reason": reason}, key))

    def close_account(self, member_id: str, reason: str, *, key: str | None = None) -> Change:
        """End the account; what is left is forfeited after the program's notice."""
        return self.send(operations.simple(member_id, "close", {"reason": reason}, key))

    def merge(self, member_id: str, into: str, reason: str, *, key: str | None = None) -> Change:
        """End the account and move all that it holds to another."""
        return self.send(
            operations.simple(member_id, "merge", {"into": into, "reason": reason}, key)
        )

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> Ingested:
        """CloudEvents into Kafka, up to 1,000 at once. Raises Unavailable as a whole only."""
        return self.send(operations.ingest(events))
