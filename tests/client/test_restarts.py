"""Tills and crowds against a server that is killed in the middle: nothing lost, nothing doubled."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from deploy.embedded import Services
from points_client import Basket, Client, Line, Problem
from tests.api.conftest import api_template, ledger_url
from tests.api.served import Server, key_of
from tests.client.example import till

__all__ = ["api_template", "ledger_url"]
"""Fixtures that these tests share with those of the API."""

TRIES = 120
"""Of one call: a killed server needs some seconds to come back, on a busy machine more."""

RECEIPTS = 12
MEMBER = "anna"
START = 1_000

CROWD = 1_000
SPENDS = 5


@pytest.fixture
def server(ledger_url: str, services: Services, tmp_path: Path) -> Iterator[Server]:
    with (tmp_path / "log").open("wb") as log:
        running = Server(ledger_url, services.kafka_bootstrap, log)
        running.start()
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture
def key(ledger_url: str, services: Services) -> str:
    scopes = ("preview", "redeem", "purchases")
    return key_of(ledger_url, services.kafka_bootstrap, "till", *scopes)


class Killer(threading.Thread):
    """Kills the server again and again, and starts it anew."""

    def __init__(self, server: Server, kills: int) -> None:
        super().__init__()
        self._server = server
        self._left = kills
        self.done = threading.Event()

    def run(self) -> None:
        rng = random.Random(1)
        while self._left and not self.done.wait(0.3 + rng.random()):
            self._server.kill()
            self._server.start()
            self._left -= 1


def earn(points: Client, member: str, amount: int) -> None:
    line = Line("1", "x", amount * 100)
    points.purchase(member, f"start-{member}", Basket("s1", "store", "USD", [line]))


def test_a_till_rides_through_restarts_without_a_double_spend(
    server: Server,
    key: str,
    ledger_url: str,
    tmp_path: Path,
) -> None:
    example = till()
    killer = Killer(server, kills=4)
    paid = {}
    with Client(server.url, key, tries=TRIES) as points:
        earn(points, MEMBER, START)
        killer.start()
        try:
            for number in range(RECEIPTS):
                receipt = f"till-1:{number}"
                basket = Basket("s1", "store", "USD", [Line("1", "x", 100 + number)])
                for _ in range(2):  # the till was switched off, and begins the receipt again
                    plan = example.pay(points, MEMBER, receipt, basket, tmp_path)
                paid[receipt] = plan
                time.sleep(0.2)
        finally:
            killer.done.set()
            killer.join()
        left = points.preview(MEMBER, Basket("s1", "store", "USD", [Line("1", "x", 1)])).balance
    assert server.starts > 2
    spent = sum(plan.points for plan in paid.values())
    with psycopg.connect(ledger_url) as owner:
        rows = owner.execute(
            "SELECT type, count(*)::int FROM ledger.events WHERE member_id = %s GROUP BY type",
            [MEMBER],
        ).fetchall()
    counted: dict[str, int] = dict(rows)
    assert counted["PointsReserved"] == counted["ReservationConfirmed"] == RECEIPTS
    assert counted["PurchaseRewarded"] == RECEIPTS + 1
    assert "InputRefused" not in counted
    earned = sum(max(0, plan.money) // 100 for plan in paid.values())
    assert left.available == START - spent + earned
    assert left.reserved == 0


def test_a_thousand_redemptions_and_a_killed_server_spend_a_balance_exactly_once(
    server: Server,
    key: str,
    ledger_url: str,
) -> None:
    killer = Killer(server, kills=3)
    with Client(server.url, key, tries=TRIES) as points:
        earn(points, MEMBER, 100)

        def redeem(number: int) -> str:
            basket = [{"amount": 10_000}]
            try:
                points.redeem(MEMBER, f"x{number}", SPENDS, basket=basket, key=f"k{number}")
            except Problem as problem:
                return problem.code
            return "applied"

        killer.start()
        try:
            with ThreadPoolExecutor(32) as pool:
                ended = list(pool.map(redeem, range(CROWD)))
        finally:
            killer.done.set()
            killer.join()
    assert server.starts > 1
    assert ended.count("applied") == 100 // SPENDS
    assert set(ended) == {"applied", "not_enough_points"}
    with psycopg.connect(ledger_url) as owner:
        row = owner.execute(
            "SELECT count(*) FROM ledger.events WHERE type = 'PointsRedeemed'"
        ).fetchone()
    assert row == (100 // SPENDS,)
