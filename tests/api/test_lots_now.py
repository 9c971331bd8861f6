"""A member's lots now: what the log tells and what the account tells are the same."""

from typing import Any

import httpx

from tests.api.calls import basket, change, earned


async def lots(client: httpx.AsyncClient, member: str) -> list[dict[str, Any]]:
    """What is told of them, which a second question is told too."""
    answers = [await client.get(f"/v1/members/{member}/lots?limit=100") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    first, second = [answer.json()["items"] for answer in answers]
    assert first == second
    told: list[dict[str, Any]] = first
    return told


def test_lots_are_the_same_from_the_log_and_from_the_account(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 100)
        await earned(client, "anna", 30)
        given = {"points": 7, "reason": "sorry", "expires_at": "2031-05-01T00:00:00Z"}
        assert (await change(client, "/members/anna/adjustments", given)).status_code == 200
        before = await lots(client, "anna")
        assert sorted(lot["granted"] for lot in before) == [7, 30, 100]
        assert all(lot["rules"] for lot in before)

        spent = {"redemption_id": "x", "points": 50, "basket": [{"amount": 10_000}]}
        assert (await change(client, "/members/anna/redemptions", spent)).status_code == 200
        held = {"reservation_id": "r", "points": 20, "basket": [{"amount": 10_000}]}
        assert (await change(client, "/members/anna/reservations", held)).status_code == 200
        after = await lots(client, "anna")
        assert sum(lot["available"] for lot in after) == 137 - 50 - 20
        assert sum(lot["reserved"] for lot in after) == 20

        order = basket(5_000, order_id="back")
        assert (await change(client, "/members/anna/purchases", order)).status_code == 200
        assert len(await lots(client, "anna")) == len(after) + 1
        goods = {
            "return_id": "b",
            "order_id": "back",
            "lines": [{"line_id": "1", "amount": 5_000}],
        }
        returned = await change(client, "/members/anna/returns", goods)
        assert returned.status_code == 200, returned.text
        assert await lots(client, "anna") == after

        # A lot that nothing was left in, and that was asked about meanwhile, has something again.
        rest = {"redemption_id": "y", "points": 65, "basket": [{"amount": 90_000}]}
        paid = {**rest, "order_id": "paid"}
        took = await change(client, "/members/anna/redemptions", paid)
        assert took.status_code == 200, took.text
        order = basket(90_000, order_id="paid")
        assert (await change(client, "/members/anna/purchases", order)).status_code == 200
        emptied = await lots(client, "anna")
        assert not {lot["lot"] for lot in after} <= {lot["lot"] for lot in emptied}
        goods |= {"return_id": "c", "order_id": "paid"}
        goods["lines"] = [{"line_id": "1", "amount": 90_000}]
        returned = await change(client, "/members/anna/returns", goods)
        assert returned.status_code == 200, returned.text
        assert await lots(client, "anna") == after

    play(story)


def test_who_has_no_account_has_no_lots(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/v1/members/nobody/lots")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_member")

    play(story)
