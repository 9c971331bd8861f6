"""Every call that the clients offer, as values: the two clients differ only in how they send."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from points_client.answers import Change, Ingested, Preview, Proposal
from points_client.basket import Basket
from points_client.calls import Call, change, member

PointsBasket = Sequence[Mapping[str, Any]]
"""Of what `Basket.for_points` makes: category and amount of each line."""


def preview(member_id: str, basket: Basket, lang: str) -> Call[Preview]:
    """Asks what a basket would earn and what points may pay of it."""
    return Call(
        "POST", member(member_id, "preview"), Preview, basket.as_json(), params={"lang": lang}
    )


def reserve(
    member_id: str,
    reservation_id: str,
    points: int,
    basket: PointsBasket | None,
    ttl_seconds: int | None,
    key: str | None,
) -> Call[Change]:
    """Holds points for a purchase."""
    body = {
        "reservation_id": reservation_id,
        "points": points,
        "basket": basket,
        "ttl_seconds": ttl_seconds,
    }
    return change(member(member_id, "reservations"), Change, body, key)


def confirm(
    member_id: str, reservation_id: str, points: int | None, order_id: str | None, key: str | None
) -> Call[Change]:
    """Spends a reservation, or a part of it."""
    path = member(member_id, f"reservations/{quote(reservation_id, safe='')}/confirm")
    return change(path, Change, {"points": points, "order_id": order_id}, key)


def cancel(member_id: str, reservation_id: str, key: str | None) -> Call[Change]:
    """Gives a reservation back."""
    path = member(member_id, f"reservations/{quote(reservation_id, safe='')}/cancel")
    return change(path, Change, {}, key)


def redeem(
    member_id: str,
    redemption_id: str,
    points: int,
    order_id: str | None,
    basket: PointsBasket | None,
    key: str | None,
) -> Call[Change]:
    """Spends points at once."""
    body = {
        "redemption_id": redemption_id,
        "points": points,
        "order_id": order_id,
        "basket": basket,
    }
    return change(member(member_id, "redemptions"), Change, body, key)


def purchase(
    member_id: str | None,
    order_id: str,
    basket: Basket,
    redemption_id: str | None,
    occurred_at: datetime | None,
    key: str | None,
) -> Call[Change]:
    """A purchase that was paid; without a key it is known by its order."""
    path = "/purchases" if member_id is None else member(member_id, "purchases")
    body = {**basket.as_json(), "order_id": order_id, "redemption_id": redemption_id}
    return change(path, Change, body, key or order_id, occurred_at)


def return_goods(
    member_id: str,
    order_id: str,
    return_id: str,
    lines: Mapping[str, int] | None,
    occurred_at: datetime | None,
    key: str | None,
) -> Call[Change]:
    """Goods that came back; without a key known by the return's id."""
    given = None
    if lines is not None:
        given = [{"line_id": name, "amount": amount} for name, amount in lines.items()]
    body = {"order_id": order_id, "return_id": return_id, "lines": given}
    return change(member(member_id, "returns"), Change, body, key or return_id, occurred_at)


def simple(
    member_id: str,
    what: str,
    body: Mapping[str, Any],
    key: str | None,
    occurred_at: datetime | None = None,
    method: str = "POST",
) -> Call[Change]:
    """A change whose body is told as it is: `what` is the end of its path."""
    return change(member(member_id, what), Change, body, key, occurred_at, method)


def adjust(
    member_id: str,
    points: int,
    reason: str,
    allow_debt: bool | None,
    expires_at: datetime | None,
    key: str | None,
) -> Call[Change | Proposal]:
    """Points by hand; many wait for a second person."""
    body = {
        "points": points,
        "reason": reason,
        "allow_debt": allow_debt,
        "expires_at": expires_at,
    }
    made = change(member(member_id, "adjustments"), Change, body, key)
    return Call(made.method, made.path, Change, made.body, key=made.key, waiting=Proposal)


def ingest(events: Sequence[Mapping[str, Any]]) -> Call[Ingested]:
    """CloudEvents into Kafka."""
    return Call("POST", "/events", Ingested, list(events))
