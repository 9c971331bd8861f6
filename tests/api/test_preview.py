"""The preview of a basket: what it tells is what then happens, and nothing is stored."""

from typing import Any

import httpx
import psycopg

from tests.api.calls import basket, change, earned


async def preview(client: httpx.AsyncClient, member: str, **more: Any) -> dict[str, Any]:
    lang = more.pop("lang", "en")
    answer = await client.post(f"/v1/members/{member}/preview?lang={lang}", json=basket(**more))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_is_told_then_happens(play: Any, ledger_url: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 73)
        told = await preview(client, "anna", amount=10_000)
        assert told["points"] == 100
        assert [a["rule"] for a in told["awards"]] == ["base"]
        assert told["balance"] == {"available": 73, "pending": 0, "reserved": 0}
        assert told["payable"] == {"points": 70, "amount": 70, "limited_by": "not_a_step"}
        assert told["refused"] is None
        body = {"redemption_id": "x", "points": 70, "basket": [{"amount": 10_000}]}
        assert (await change(client, "/members/anna/redemptions", body)).status_code == 200
        bought = await change(
            client, "/members/anna/purchases", basket(order_id="next", amount=10_000)
        )
        assert bought.json()["balance"]["available"] == 3 + told["points"]

    play(story)
    with psycopg.connect(ledger_url) as owner:
        row = owner.execute(
            "SELECT count(*) FROM ledger.events WHERE type = 'PurchaseRewarded'"
        ).fetchone()
    assert row == (2,)


def test_why_a_rule_gives_nothing_and_when_a_tier_is_reached(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        told = await preview(client, "anna")
        (without,) = told["rules_without"]
        assert without["rule"] == "gold-bonus"
        assert without["code"] == "tier"
        assert without["asked"] == {"tier": "gold"}
        russian = await preview(client, "anna", lang="ru")
        assert russian["rules_without"][0]["why"] != without["why"]
        assert (told["tier"], told["tier_after"]) == ("none", "none")
        much = await preview(client, "anna", amount=150_000)
        assert much["tier_after"] == "gold"

    play(story)


def test_a_member_who_cannot_spend_and_one_whose_account_was_merged(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 100)
        await earned(client, "old", 40)
        await change(client, "/members/old/merge", {"into": "anna", "reason": "same"})
        merged = await preview(client, "old")
        assert merged["balance"]["available"] == 140
        assert merged["payable"]["points"] == 140
        await change(client, "/members/anna/freeze", {"reason": "doubt"})
        frozen = await preview(client, "anna")
        assert frozen["payable"] == {"points": 0, "amount": 0, "limited_by": "account_frozen"}
        assert frozen["points"] == 100
        await change(client, "/members/anna/close", {"reason": "asked"})
        closed = await preview(client, "anna")
        assert closed["refused"] == "account_closed"
        assert closed["points"] == 0

    play(story)


def test_a_basket_is_checked(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/members/anna/preview", json=basket(order_id="o"))
        assert answer.json()["path"] == "$.order_id"
        answer = await client.post("/v1/members/anna/preview", json=basket(currency="usd"))
        assert answer.json()["code"] == "invalid_field"

    play(story)
