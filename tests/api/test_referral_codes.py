"""A member hands on a code; who names it was brought in by that member."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from api.referral_codes import read
from ledger.settings import Settings
from tests.api.calls import basket, change, earned


def test_a_code_is_made_once_and_names_its_member(play: Any, settings: Settings) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 5)
        nothing = await client.get("/v1/members/anna/referral-code")
        assert (nothing.status_code, nothing.json()["code"]) == (404, "no_referral_code")
        path = "/v1/members/anna/referral-code"
        asked = await asyncio.gather(*(client.post(path) for _ in range(8)))
        assert {each.status_code for each in asked} == {200}
        (code,) = {each.json()["code"] for each in asked}
        assert (await client.get(path)).json() == asked[0].json()
        for typed in (code, code.lower(), code.replace("-", " ")):
            told = await client.get(f"/v1/referral-codes/{typed}")
            assert told.json() == asked[0].json()
        wrong = "A" if code[0] != "A" else "B"
        for typed in (wrong + code[1:], "x", "%00", "x'--", "%F0%9F%8E%81"):
            none = await client.get(f"/v1/referral-codes/{typed}")
            assert (none.status_code, none.json()["code"]) == (404, "unknown_referral_code")
        nobody = await client.post("/v1/members/nobody/referral-code")
        assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_member")

    play(story)
    with psycopg.connect(settings.require_database_url()) as connection:
        rows = connection.execute("SELECT code, member_id, created_by FROM api.referral_codes")
        ((code, member_id, by),) = rows.fetchall()
    assert (read(code), member_id, by) == (code, "anna", "key:till")


def test_a_referral_names_the_code_alone(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 5)
        code = (await client.post("/v1/members/anna/referral-code")).json()["code"]
        first = await change(client, "/members/ben/referral", {"code": code.lower()}, key="r1")
        assert first.status_code == 200, first.text
        assert first.json()["decision"]["referrer_id"] == "anna"
        again = await change(client, "/members/ben/referral", {"code": code.lower()}, key="r1")
        assert (again.status_code, again.json()["repeated"]) == (200, True)
        own = await change(client, "/members/anna/referral", {"code": code})
        assert own.status_code == 422, "nobody brings himself in"
        unknown = await change(client, "/members/carl/referral", {"code": "SUMMER"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_referral_code")
        named = await change(
            client, "/members/carl/referral", {"code": "SUMMER", "referrer_id": "anna"}
        )
        assert named.status_code == 200, "the shop's own codes need no look-up"
        for body in ({}, {"code": 5}, {"code": ""}):
            wrong = await change(client, "/members/dora/referral", body)
            assert wrong.status_code in (404, 422), wrong.text
        bought = await change(client, "/members/ben/purchases", basket(10_000, order_id="ben-1"))
        assert bought.status_code == 200, bought.text

    play(story)


@pytest.mark.parametrize("text", ["", "ABCDE-FGHJK-", "ABCDEFGHI0", "ÀBCDEFGHJK"])
def test_what_cannot_be_a_code_is_told_without_asking(text: str) -> None:
    assert read(text) is None
