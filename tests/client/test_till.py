"""The till of the documentation where points are refused, before money is asked for and after."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from points_client import Basket, Client, Line, Problem
from tests.client.example import till

BASKET = Basket("s1", "store", "USD", [Line("1", "x", 100)])
PREVIEW = {
    "points": 0,
    "awards": [],
    "rules_without": [],
    "promo_codes": [],
    "tier": "none",
    "tier_after": "none",
    "payable": {"points": 40, "amount": 40, "limited_by": "balance"},
    "balance": {"available": 40, "pending": 0, "reserved": 0},
    "program_version": "1",
    "refused": None,
}
CHANGED = {
    "outcome": "applied",
    "member_id": "anna",
    "event": {"shard": 1, "position": 2, "type": "PointsReserved"},
    "decision": {},
}


class Ledger:
    """Refuses what is named so; remembers what came."""

    def __init__(self, **refused: str) -> None:
        self.refused = refused
        self.requests: dict[str, list[httpx.Request]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        self.requests.setdefault(name, []).append(request)
        if name in self.refused:
            return httpx.Response(422, json={"code": self.refused[name], "detail": "No."})
        return httpx.Response(200, json=PREVIEW if name == "preview" else CHANGED)

    def told(self, name: str) -> list[Any]:
        return [json.loads(request.content) for request in self.requests[name]]


def client_of(ledger: Ledger) -> Client:
    return Client("http://points", "pl_key", transport=httpx.MockTransport(ledger))


def test_what_was_bought_is_reported_when_the_points_have_lapsed(tmp_path: Path) -> None:
    ledger = Ledger(confirm="unknown_reservation")
    with client_of(ledger) as points:
        for _ in range(2):
            plan = till().pay(points, "anna", "receipt", BASKET, tmp_path)
            assert (plan.points, plan.worth, plan.money) == (0, 0, 60)
    reported = ledger.told("purchases")
    assert reported[0] == reported[1]
    assert "redemption_id" not in reported[0]
    assert [line["amount"] for line in reported[0]["lines"]] == [60]
    assert ledger.told("reservations")[0]["ttl_seconds"] >= 3_600


def test_refused_points_are_planned_anew(tmp_path: Path) -> None:
    ledger = Ledger(reservations="not_enough_points")
    with client_of(ledger) as points:
        with pytest.raises(Problem):
            till().pay(points, "anna", "receipt", BASKET, tmp_path)
        assert list(tmp_path.iterdir()) == []
        ledger.refused.clear()
        assert till().pay(points, "anna", "receipt", BASKET, tmp_path).points == 40
    keys = [request.headers["idempotency-key"] for request in ledger.requests["reservations"]]
    assert len(set(keys)) == 2
    assert len(ledger.requests["preview"]) == 2
    assert ledger.told("purchases")[0]["redemption_id"] == "receipt-points"
