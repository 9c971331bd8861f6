"""How often a caller may call, and what it is told about it; failed sign-ins of an address."""

from collections.abc import Callable
from typing import Any

import httpx

from api.access.layer import FAILURES_BURST
from api.access.rates import Buckets
from tests.api.access.callers import Api, code_of

Play = Callable[..., Any]


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = [0.0]
    buckets = Buckets(clock=lambda: clock[0])
    taken = [buckets.take("a", 5, 10) for _ in range(11)]
    assert [left.remaining for left in taken] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert [left.allowed for left in taken] == [True] * 10 + [False]
    assert taken[-1].wait_seconds == 1
    assert buckets.take("b", 5, 10).allowed
    clock[0] += 0.2
    assert buckets.take("a", 5, 10).allowed
    assert not buckets.take("a", 5, 10).allowed
    clock[0] += 1_000
    assert buckets.take("a", 5, 10).remaining == 9
    clock[0] -= 500  # a clock that steps back gives nothing and takes nothing
    assert buckets.take("a", 5, 10).remaining == 8


def test_the_number_of_buckets_is_bounded() -> None:
    buckets = Buckets(entries_max=3)
    for name in "abcd":
        buckets.take(name, 1, 1)
    assert len(buckets) == 3
    assert not buckets.take("d", 1, 1).allowed
    assert buckets.take("a", 1, 1).allowed  # forgotten, so full again


def test_the_headers_and_the_refusal(play: Play) -> None:
    async def story(api: Api) -> None:
        api.layer._callers = Buckets(clock=lambda: 0.0)
        made = await api.key("members:read", requests_per_second=2)
        answers = [await api.call("GET", "/v1/me", made.secret) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429]
        assert [answer.headers["ratelimit-policy"] for answer in answers] == [
            '"client";q=4;w=2'
        ] * 5
        assert answers[0].headers["ratelimit"] == '"client";r=3;t=1'
        assert answers[3].headers["ratelimit"] == '"client";r=0;t=2'
        assert answers[4].headers["retry-after"] == "1"
        assert code_of(answers[4]) == (429, "rate_limited")
        other = await api.key("members:read")
        answer = await api.call("GET", "/v1/me", other.secret)
        assert answer.headers["ratelimit"] == '"client";r=5;t=1'
        (row,) = await api.trail(who=f"key:{made.key.client}")
        assert (row["status"], row["code"], row["count"]) == (429, "rate_limited", 1)

    play(story, api_rate_per_second=3)


def test_a_problem_has_the_headers_too(play: Play) -> None:
    async def story(api: Api) -> None:
        made = await api.key("members:read")
        answer = await api.call("GET", "/v1/keys", made.secret)
        assert code_of(answer) == (403, "scope_missing")
        assert "ratelimit" in answer.headers

    play(story)


def test_failed_sign_ins_of_an_address(play: Play) -> None:
    async def story(api: Api) -> None:
        clock = [0.0]
        api.layer._failures = Buckets(clock=lambda: clock[0])
        good = await api.key("members:read")
        assert (await api.call("GET", "/v1/me", good.secret)).status_code == 200
        answers = [
            await api.call("GET", "/v1/me", f"pl_aaaaaa{a}{b}_{'a' * 48}")
            for a in "abcdef"
            for b in "abcd"
        ]
        assert [a.status_code for a in answers] == [401] * FAILURES_BURST + [429] * 4
        assert code_of(answers[-1]) == (429, "too_many_failures")
        assert answers[-1].headers["retry-after"] == "1"
        # Who is known goes on behind the same address; who guesses at its secret does not.
        assert (await api.call("GET", "/v1/me", good.secret)).status_code == 200
        guess = good.secret[:-4] + "aaaa"
        assert code_of(await api.call("GET", "/v1/me", guess)) == (429, "too_many_failures")
        elsewhere = httpx.ASGITransport(api.app, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=elsewhere, base_url="http://points") as client:
            answer = await client.get("/v1/me", headers={"Authorization": "Bearer pl_x"})
            assert answer.status_code == 401
        clock[0] += 1
        assert code_of(await api.call("GET", "/v1/me", guess)) == (401, "bad_key")

    play(story)


def test_an_ipv6_customer_is_one_address(play: Play) -> None:
    async def story(api: Api) -> None:
        api.layer._failures = Buckets(clock=lambda: 0.0)
        statuses = []
        for number in range(FAILURES_BURST + 1):
            host = f"2001:db8:1:2:{number:x}::1"
            transport = httpx.ASGITransport(api.app, client=(host, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://points") as client:
                answer = await client.get("/v1/me", headers={"Authorization": "Bearer pl_x"})
                statuses.append(answer.status_code)
        assert statuses == [401] * FAILURES_BURST + [429]

    play(story)
