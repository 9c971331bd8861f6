"""The preview of a basket: what it tells is what then happens, and nothing is stored."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from msgspec.structs import replace

from api.changing import check_decided
from api.problems import Problem
from ledger.core.program.form import Award, EarnRule, PromoSeries, When
from ledger.core.program.load import load_program
from ledger.received import Outcome
from ledger.settings import Settings
from tests.api.calls import basket, change, earned
from tests.api.conftest import PROGRAM, client_of, opened


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
        assert told["payable"] == {
            "points": 70,
            "amount": 70,
            "limited_by": "not_a_step",
            "excluded_categories": ["alcohol"],
        }
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
        assert frozen["payable"]["points"] == frozen["payable"]["amount"] == 0
        assert frozen["payable"]["limited_by"] == "account_frozen"
        assert frozen["points"] == 100
        await change(client, "/members/anna/close", {"reason": "asked"})
        closed = await preview(client, "anna")
        assert closed["refused"] == "account_closed"
        assert closed["points"] == 0

    play(story)


def test_the_account_that_decides_is_found_over_several_merges(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for number, member in enumerate(("a", "b", "c")):
            await earned(client, member, 10 * (number + 1))
        for member, into in (("a", "b"), ("b", "c")):
            body = {"into": into, "reason": "same"}
            assert (await change(client, f"/members/{member}/merge", body)).status_code == 200
        told = await preview(client, "a")
        assert told["balance"]["available"] == told["payable"]["points"] == 60
        assert told["points"] == 100

    play(story)


def test_a_code_that_is_bound_to_a_merged_member_is_still_theirs(
    settings: Settings, tmp_path: Path
) -> None:
    async def story() -> None:
        async with opened(settings) as app, client_of(app) as client:
            ledger = app.state.points.ledger
            program = load_program(PROGRAM.read_text("utf-8"), PROGRAM.name)
            series = PromoSeries(id="thanks")
            rule = EarnRule(id="coded", award=Award(fixed=50), when=When(promo_code="thanks"))
            later = datetime.now(UTC) - timedelta(seconds=1)
            await ledger.publish_program(
                replace(
                    program,
                    effective_from=later,
                    promo_codes=(series,),
                    earn=(*program.earn, rule),
                )
            )
            await ledger.generate_codes("thanks", 1, tmp_path / "codes", ["old"])
            code = (tmp_path / "codes").read_text().splitlines()[1].partition(",")[0]
            await earned(client, "old", 10)
            await earned(client, "new", 10)
            await change(client, "/members/old/merge", {"into": "new", "reason": "same"})
            told = await preview(client, "old", promo_codes=[code])
            assert [each["status"] for each in told["promo_codes"]] == ["ok"]

    asyncio.run(story())


def test_what_cannot_be_decided_is_a_problem(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/members/anna/preview", json=basket(currency="EUR"))
        assert answer.status_code == 422
        assert answer.json()["code"] == "other_currency"

    play(story)
    for code, status in (("no_program", 404), ("internal_error", 500)):
        with pytest.raises(Problem) as problem:
            check_decided(Outcome("dead_lettered", code=code, message="…"))
        assert (problem.value.status, problem.value.code) == (status, code)


def test_a_basket_is_checked(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/members/anna/preview", json=basket(order_id="o"))
        assert answer.json()["path"] == "$.order_id"
        answer = await client.post("/v1/members/anna/preview", json=basket(currency="usd"))
        assert answer.json()["code"] == "invalid_field"

    play(story)
