"""The two clients: the same methods, the same calls, and what they do when nobody answers."""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import httpx
import pytest

import points_client
from points_client import (
    AsyncClient,
    Basket,
    Change,
    Client,
    Line,
    Problem,
    Proposal,
    Unavailable,
    client,
)
from points_client.calls import pause_before

BASKET = Basket("s1", "store", "USD", [Line("1", "x", 10_000, category="A"), Line("2", "y", 5)])
CHANGED = {
    "outcome": "applied",
    "member_id": "anna",
    "event": {"shard": 1, "position": 2, "type": "PointsReserved"},
    "decision": {"points": 5},
    "balance": {"available": 1, "pending": 0, "reserved": 5},
    "new_field": "of a newer server",
}


def methods(kind: type) -> dict[str, str]:
    return {
        name: str(inspect.signature(found))
        for name, found in vars(kind).items()
        if inspect.isfunction(found) and not name.startswith("_") and "close" not in name
    }


def test_both_offer_the_same() -> None:
    assert methods(Client) == methods(AsyncClient)
    assert len(methods(Client)) > 20


class Server:
    """Answers as it is told; remembers what came."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: httpx.Response = answer
        return found


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (client, __import__("points_client.aio", fromlist=["aio"])):
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0.001)


def sync(server: Server, **more: Any) -> Client:
    return Client("http://points", "pl_key", transport=httpx.MockTransport(server), **more)


def test_a_change_is_sent_again_under_its_key_until_there_is_an_answer() -> None:
    server = Server(
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
        httpx.Response(503, json={"code": "busy", "detail": "Later."}),
        httpx.Response(200, json=CHANGED),
    )
    with sync(server) as points:
        changed = points.reserve("anna", "r1", 5, basket=BASKET.for_points())
    assert changed.balance is not None
    assert changed.balance.available == 1
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert len(server.requests) == 4
    assert json.loads(server.requests[0].content) == {
        "reservation_id": "r1",
        "points": 5,
        "basket": [{"amount": 10_000, "category": "A"}, {"amount": 5}],
    }
    assert server.requests[0].headers["authorization"] == "Bearer pl_key"


def test_a_refusal_is_not_sent_again() -> None:
    problem = {"code": "not_enough_points", "detail": "Less.", "path": "$.points"}
    server = Server(httpx.Response(422, json=problem))
    with sync(server) as points, pytest.raises(Problem) as refused:
        points.redeem("anna", "x", 5, key="mine")
    assert (refused.value.code, refused.value.path) == ("not_enough_points", "$.points")
    assert refused.value.key == "mine"
    assert server.requests[0].headers["idempotency-key"] == "mine"


def test_without_an_answer_the_key_is_told() -> None:
    server = Server(*[httpx.ConnectError("refused")] * client.TRIES_MAX)
    with sync(server) as points, pytest.raises(Unavailable) as unavailable:
        points.cancel("anna", "r1", key="mine")
    assert unavailable.value.key == "mine"


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_change_that_is_turned_away_to_the_last_may_have_been_made(status: int) -> None:
    def busy() -> httpx.Response:
        return httpx.Response(status, json={"code": "busy", "detail": "Later."})

    asks: list[Callable[[Client], object]] = [
        lambda points: points.redeem("anna", "x", 5, key="mine"),
        lambda points: points.preview("anna", BASKET),
    ]
    for ask in asks:
        server = Server(busy(), busy())
        with (
            Client("http://p", "k", tries=2, transport=httpx.MockTransport(server)) as points,
            pytest.raises(Unavailable, match=f"answered {status}") as unavailable,
        ):
            ask(points)
        assert unavailable.value.key == server.requests[0].headers.get("idempotency-key", "")
        assert len(server.requests) == 2


def test_a_server_that_fails_says_nothing_about_the_change() -> None:
    def broken() -> httpx.Response:
        return httpx.Response(500, json={"code": "internal_error", "detail": "See the log."})

    async def story() -> None:
        transport = httpx.MockTransport(Server(broken()))
        async with AsyncClient("http://points", "pl_key", transport=transport) as points:
            with pytest.raises(Unavailable, match="See the log") as unavailable:
                await points.redeem("anna", "x", 5, key="mine")
            assert unavailable.value.key == "mine"

    asyncio.run(story())
    with sync(Server(broken())) as points:
        with pytest.raises(Unavailable) as unavailable:
            points.redeem("anna", "x", 5, key="mine")
        assert unavailable.value.key == "mine"
    with sync(Server(broken())) as points, pytest.raises(Problem) as problem:
        points.preview("anna", BASKET)
    assert problem.value.key == ""


def test_a_large_adjustment_waits_for_another_person() -> None:
    waiting = {"id": "p1", "state": "open", "subject": "anna", "expires_at": "2027-01-01T00:00:00Z"}
    server = Server(httpx.Response(202, json=waiting), httpx.Response(200, json=CHANGED))
    with sync(server) as points:
        proposed = points.adjust("anna", 1_000_000, "sorry")
        assert isinstance(proposed, Proposal)
        assert proposed.id == "p1"
        assert isinstance(points.adjust("anna", 5, "sorry"), Change)


def test_a_page_of_a_proxy_is_a_problem_too() -> None:
    server = Server(httpx.Response(404, text="<html>"))
    with sync(server) as points, pytest.raises(Problem) as refused:
        points.claim("anna", "mug")
    assert refused.value.status == 404


def test_the_async_client_does_the_same() -> None:
    server = Server(httpx.ConnectError("refused"), httpx.Response(200, json=CHANGED))

    async def story() -> None:
        transport = httpx.MockTransport(server)
        async with AsyncClient("http://points", "pl_key", transport=transport) as points:
            changed = await points.transfer("anna", "bob", 5)
            assert changed.event.position == 2

    asyncio.run(story())
    assert len(server.requests) == 2


def test_ids_are_quoted_in_paths() -> None:
    server = Server(httpx.Response(200, json=CHANGED))
    with sync(server) as points:
        points.cancel("a/../b", "r/1")
    assert server.requests[0].url.raw_path == b"/v1/members/a%2F..%2Fb/reservations/r%2F1/cancel"


def test_pauses_grow_and_heed_the_server() -> None:
    later = httpx.Response(503, headers={"Retry-After": "3"})
    assert [pause_before(n, None, 0.2, 5.0, 1.0) for n in (1, 2, 3, 9)] == [0.2, 0.4, 0.8, 5.0]
    assert [pause_before(n, None, 0.2, 5.0, 0.0) for n in (1, 9)] == [0.0, 0.0]
    assert pause_before(1, later, 0.2, 5.0, 0.5) == 3.1
    never = httpx.Response(503, headers={"Retry-After": "999"})
    assert pause_before(1, never, 0.2, 5.0, 0.0) == 5.0


def test_what_points_pay_is_taken_off_the_lines() -> None:
    assert [line.amount for line in BASKET.less(10_003).lines] == [2, 0]
    assert BASKET.less(0) == Basket("s1", "store", "USD", list(BASKET.lines))
    with pytest.raises(ValueError, match="not between"):
        BASKET.less(10_006)


def test_every_public_name_says_what_it_is() -> None:
    for name in points_client.__all__:
        found = getattr(points_client, name)
        assert not (found.__doc__ or "").startswith(f"{name}("), f"{name}: a generated docstring"
        named = {name: found} | {
            f"{name}.{each}": value
            for each, value in vars(found).items()
            if inspect.isfunction(value) and not each.startswith("_")
        }
        for place, value in named.items():
            assert (value.__doc__ or "").strip(), place


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_server_asks_to_wait_is_waited_within_a_bound(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("points_client.client.time.sleep", waited.append)
    server = Server(
        httpx.Response(status, json={"code": "busy"}, headers={"Retry-After": "2"}),
        httpx.Response(status, json={"code": "busy"}, headers={"Retry-After": "86400"}),
        httpx.Response(status, json={"code": "busy"}, headers={"Retry-After": "soon"}),
        httpx.Response(200, json=CHANGED),
    )
    first = client.PAUSE_SECONDS
    sync(server, drawn=lambda: 0.5).redeem("anna", "r", 5)
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert waited == [
        pytest.approx(2 + first / 2),
        pytest.approx(client.PAUSE_SECONDS_MAX + first),  # a till does not wait for a day
        pytest.approx(first * 2),  # what is no number of seconds is not waited for
    ]


def test_pauses_are_random_parts_of_bounds_that_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers who were turned away together do not come back together, waiting or not."""
    first, most = client.PAUSE_SECONDS, client.PAUSE_SECONDS_MAX
    bounds = [min(first * 2**n, most) for n in range(client.TRIES_MAX - 1)]
    of_two: list[list[float]] = []
    for seed in (1, 2):
        expected = [part * bound for part, bound in zip(parts(seed), bounds, strict=False)]
        waited: list[float] = []
        monkeypatch.setattr("points_client.client.time.sleep", waited.append)
        with pytest.raises(Unavailable):
            sync(refusing(), drawn=parts(seed).__next__).redeem("anna", "r", 5)
        assert waited == pytest.approx(expected)
        of_two.append(waited)

        slept: list[float] = []

        async def sleep(seconds: float, slept: list[float] = slept) -> None:
            slept.append(seconds)

        async def story(seed: int = seed) -> None:
            transport = httpx.MockTransport(refusing())
            async with AsyncClient(
                "http://points", "pl_key", transport=transport, drawn=parts(seed).__next__
            ) as points:
                with pytest.raises(Unavailable):
                    await points.redeem("anna", "r", 5)

        with monkeypatch.context() as patched:
            patched.setattr("points_client.aio.asyncio.sleep", sleep)
            asyncio.run(story())
        assert slept == pytest.approx(expected)
    assert of_two[0] != of_two[1]


def parts(seed: int) -> Iterator[float]:
    """Numbers from 0 to 1."""
    drawn = Random(seed)
    while True:
        yield drawn.random()


def refusing() -> Server:
    """A server that nobody reaches."""
    return Server(*[httpx.ConnectError("refused")] * client.TRIES_MAX)
