"""Changes over HTTP: what they answer, and that each is made once."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import psycopg
from msgspec.structs import replace

from schemas.inputs import AdjustData, PointsAdjust
from tests.api.calls import basket, change, earned

RESERVE = {"reservation_id": "r1", "points": 50, "basket": [{"amount": 10_000}]}


def test_a_till_reserves_and_confirms(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 100)
        held = await change(client, "/members/anna/reservations", RESERVE)
        assert held.status_code == 200
        body = held.json()
        assert body["outcome"] == "applied"
        assert body["event"]["type"] == "PointsReserved"
        assert body["balance"] == {"available": 50, "pending": 0, "reserved": 50}
        spent = await change(
            client, "/members/anna/reservations/r1/confirm", {"points": 30, "order_id": "o1"}
        )
        assert spent.json()["balance"] == {"available": 70, "pending": 0, "reserved": 0}
        again = await change(client, "/members/anna/reservations/r1/cancel")
        assert again.status_code == 422
        assert again.json()["code"] == "reservation_closed"
        assert again.headers["content-type"] == "application/problem+json"

    play(story)


def test_the_same_key_again_gets_the_same_answer_and_changes_nothing(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 100)
        first = await change(client, "/members/anna/reservations", RESERVE, key="once")
        again = await change(client, "/members/anna/reservations", RESERVE, key="once")
        assert again.status_code == 200
        assert again.json()["repeated"] is True
        assert again.json()["event"] == first.json()["event"]
        assert again.json()["decision"] == first.json()["decision"]
        after = await change(client, "/members/anna/reservations/r1/cancel")
        assert after.json()["balance"]["available"] == 100

    play(story)


def test_a_refusal_is_kept_under_its_key(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        first = await change(client, "/members/anna/reservations", RESERVE, key="once")
        assert first.status_code == 422
        assert first.json()["code"] == "not_enough_points"
        await earned(client, "anna", 100)
        again = await change(client, "/members/anna/reservations", RESERVE, key="once")
        assert again.status_code == 422
        assert again.json()["event"] == first.json()["event"]

    play(story)


def test_other_content_under_a_known_key_is_a_conflict_and_leaves_no_dead_letter(
    play: Any, ledger_url: str
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 100)
        await change(client, "/members/anna/reservations", RESERVE, key="once")
        other = await change(
            client, "/members/anna/reservations", {**RESERVE, "points": 45}, key="once"
        )
        assert other.status_code == 409
        assert other.json()["code"] == "conflict"
        same_key_of_another = await change(
            client,
            "/members/anna/reservations",
            {**RESERVE, "reservation_id": "r2"},
            key="once",
            who="other-till",
        )
        assert same_key_of_another.status_code == 200

    play(story)
    with psycopg.connect(ledger_url) as owner:
        assert owner.execute("SELECT count(*) FROM ledger.dead_letters").fetchone() == (0,)


def test_one_key_sent_many_times_at_once_is_one_change(play: Any, ledger_url: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "anna", 100)
        answers = await asyncio.gather(
            *(change(client, "/members/anna/reservations", RESERVE, key="k") for _ in range(40))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert len({str(answer.json()["event"]) for answer in answers}) == 1
        assert sum(not answer.json().get("repeated", False) for answer in answers) == 1

    play(story)
    assert _count(ledger_url, "PointsReserved") == 1


def test_a_thousand_redemptions_at_once_spend_a_balance_exactly_once(
    play: Any, ledger_url: str
) -> None:
    async def story(client: httpx.AsyncClient) -> list[httpx.Response]:
        await earned(client, "anna", 100)
        return await asyncio.gather(
            *(
                change(
                    client,
                    "/members/anna/redemptions",
                    {"redemption_id": f"x{n}", "points": 5, "basket": [{"amount": 1_000}]},
                )
                for n in range(400)
            )
        )

    answers = play(story)
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) == 20
    assert {a.json()["code"] for a in answers if a.status_code != 200} == {"not_enough_points"}
    assert _count(ledger_url, "PointsRedeemed") == 20


def test_many_changes_at_once_go_through_the_door_in_groups(settings: Any) -> None:
    from tests.api.conftest import client_of, opened

    async def story() -> None:
        async with opened(settings) as app, client_of(app) as client:
            await asyncio.gather(*(earned(client, f"m{n}", 10) for n in range(100)))
            groups = app.state.points.door.groups
            assert groups.items == 100
            assert groups.groups < 30

    asyncio.run(story())


def test_a_change_that_breaks_the_ledger_does_not_fail_those_beside_it(settings: Any) -> None:
    from tests.api.conftest import opened

    def adjusting(member: str) -> PointsAdjust:
        return PointsAdjust(
            specversion="1.0",
            id=f"adjust-{member}",
            source="api/till",
            subject=member,
            time=datetime.now(UTC),
            data=AdjustData(7, "sorry", "key:till"),
        )

    async def story() -> None:
        far = datetime.max.replace(tzinfo=timezone(-timedelta(hours=12)))
        broken = adjusting("broken")
        broken = replace(broken, data=replace(broken.data, expires_at=far))
        good = [adjusting(f"m{n}") for n in range(5)]
        async with opened(settings) as app:
            door = app.state.points.door
            ended: list[Any] = await asyncio.gather(
                *(door.change(each, timed=False) for each in (*good, broken)),
                return_exceptions=True,
            )
            assert isinstance(ended.pop(), OverflowError)
            assert [answer.outcome.kind for answer in ended] == ["applied"] * len(good)

    asyncio.run(story())


def test_a_moment_out_of_range_is_refused(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        far = "9999-12-31T23:59:59-12:00"
        for path, body, field in (
            ("adjustments", {"points": 7, "reason": "sorry", "expires_at": far}, "expires_at"),
            ("tier", {"tier": "gold", "until": far, "reason": "guest"}, "until"),
        ):
            answer = await change(client, f"/members/anna/{path}", body)
            assert answer.status_code == 422
            assert answer.json()["code"] == "time_out_of_range"
            assert answer.json()["path"] == f"$.{field}"

    play(story)


def test_each_change_of_a_member(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        profile = {"profile": {"region": "north"}}
        in_a_month = (datetime.now(UTC) + timedelta(days=30)).isoformat()
        await earned(client, "anna", 1)
        for path, body, kind, method in (
            ("/members/bob/enrolment", profile, "MemberProfiled", "POST"),
            ("/members/bob/profile", {"profile": {"region": None}}, "MemberProfiled", "PATCH"),
            ("/members/bob/surveys", {"survey_id": "household-profile", "completion_id": "c1"},
             "SurveyRewarded", "POST"),
            ("/members/bob/transfers", {"to": "anna", "points": 20}, "PointsSent", "POST"),
            ("/members/bob/donations", {"charity_id": "trees", "points": 10}, "PointsDonated",
             "POST"),
            ("/members/bob/claims", {"reward_id": "mug"}, "RewardClaimed", "POST"),
            ("/members/bob/adjustments", {"points": 7, "reason": "sorry"}, "PointsAdjusted",
             "POST"),
            ("/members/bob/tier", {"tier": "gold", "until": in_a_month,
                                   "reason": "guest"}, "TierOverridden", "POST"),
            ("/members/bob/freeze", {"reason": "doubt"}, "AccountFrozen", "POST"),
            ("/members/bob/unfreeze", {"reason": "cleared"}, "AccountUnfrozen", "POST"),
            ("/members/bob/purchases", basket(order_id="o1"), "PurchaseRewarded", "POST"),
            ("/members/bob/returns", {"order_id": "o1", "return_id": "r1"}, "PurchaseReturned",
             "POST"),
            ("/purchases", basket(order_id="o2"), "AnonymousPurchaseRecorded", "POST"),
            ("/members/bob/merge", {"into": "anna", "reason": "same"}, "AccountMerged", "POST"),
            ("/members/anna/close", {"reason": "asked"}, "AccountClosed", "POST"),
            ("/members/anna/erasure", {"reason": "asked"}, "MemberErased", "POST"),
        ):  # fmt: skip
            answer = await change(client, path, body, method=method)
            assert answer.status_code == 200, (path, answer.text)
            assert answer.json()["event"]["type"] == kind
            if "actor" in answer.json()["decision"]:
                assert answer.json()["decision"]["actor"] == "key:till"

    play(story)


def test_a_change_of_a_merged_member_is_made_on_the_one_that_stays(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "old", 100)
        await earned(client, "new", 1)
        merged = await change(client, "/members/old/merge", {"into": "new", "reason": "same"})
        assert merged.status_code == 200, merged.text
        body = {"redemption_id": "x", "points": 10, "basket": [{"amount": 9_000}]}
        answer = await change(client, "/members/old/redemptions", body, key="x")
        assert answer.json()["member_id"] == "new"
        assert answer.json()["event"]["type"] == "InputForwarded"
        assert answer.json()["decision"]["redemption_id"] == "old/x"
        assert answer.json()["balance"]["available"] == 91
        again = await change(client, "/members/old/redemptions", body, key="x")
        assert again.json()["repeated"] is True
        assert again.json()["event"] == answer.json()["event"]
        assert again.json()["decision"] == answer.json()["decision"]
        assert again.json()["member_id"] == "new"

    play(story)


def test_asking_again_for_a_merged_member_leaves_the_session_as_it_was(play: Any) -> None:
    """The answer is looked for among the events of the account that stays, newest first; whatever
    follows on that session must not meet what was not read of them."""

    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "old", 100)
        await earned(client, "new", 1)
        many = {"points": 1, "reason": "one of many"}
        await asyncio.gather(
            *(change(client, "/members/new/adjustments", many) for _ in range(150))
        )
        merged = await change(client, "/members/old/merge", {"into": "new", "reason": "same"})
        assert merged.status_code == 200, merged.text
        for n in range(30):
            for _ in range(2):  # the second time it is looked for
                sent = await change(client, "/members/old/adjustments", many, key=f"again-{n}")
                assert sent.status_code == 200, sent.text
            assert sent.json()["repeated"] is True
            assert sent.json()["event"]["type"] == "InputForwarded"

    play(story)


def test_two_changes_under_one_key_of_a_merged_member_are_told_apart(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await earned(client, "old", 100)
        await earned(client, "older", 100)
        await earned(client, "new", 1)
        for member in ("old", "older"):
            await change(client, f"/members/{member}/merge", {"into": "new", "reason": "same"})
        body = {"redemption_id": "x", "points": 10, "basket": [{"amount": 9_000}]}
        sent = [
            ("/members/old/redemptions", body),
            ("/members/older/redemptions", body),
            ("/members/old/donations", {"charity_id": "trees", "points": 5}),
        ]
        first = [await change(client, *each, key="once") for each in sent]
        assert {answer.status_code for answer in first} == {200}
        for each, answer in zip(sent, first, strict=True):
            again = await change(client, *each, key="once")
            assert again.json()["repeated"] is True
            assert again.json()["decision"] == answer.json()["decision"]

    play(story)


def test_a_claimed_voucher_hands_out_its_code(settings: Any) -> None:
    from tests.api.conftest import client_of, opened

    async def story() -> None:
        async with opened(settings) as app, client_of(app) as client:
            await app.state.points.ledger.load_codes("film", ["FILM-1", "FILM-2"])
            await earned(client, "old", 100)
            await earned(client, "new", 100)
            film = {"reward_id": "film"}
            first = await change(client, "/members/old/claims", film, key="film")
            assert first.json()["voucher_code"] == "FILM-1"
            again = await change(client, "/members/old/claims", film, key="film")
            assert again.json()["repeated"] is True
            assert again.json()["voucher_code"] == "FILM-1"
            mug = await change(client, "/members/new/claims", {"reward_id": "mug"})
            assert "voucher_code" not in mug.json()
            await change(client, "/members/old/merge", {"into": "new", "reason": "same"})
            for _ in range(2):
                passed_on = await change(client, "/members/old/claims", film, key="later")
                assert passed_on.json()["member_id"] == "new"
                assert passed_on.json()["voucher_code"] == "FILM-2"
            none_left = await change(client, "/members/new/claims", film)
            assert none_left.json()["code"] == "sold_out"

    asyncio.run(story())


def test_a_return_before_its_purchase_waits(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        body = {"order_id": "later", "return_id": "r1"}
        answer = await change(client, "/members/anna/returns", body)
        assert answer.status_code == 200
        assert answer.json()["outcome"] == "waiting"

    play(story)


def test_bodies_are_read_as_strictly_as_records(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for body, code, path in (
            ({"points": 5}, "missing_field", "$.redemption_id"),
            ({"redemption_id": "x", "points": 1.5}, "invalid_field", "$.points"),
            ({"redemption_id": "x", "points": -5}, "invalid_field", "$.points"),
            ({"redemption_id": "x y", "points": 5}, "invalid_field", "$.redemption_id"),
            ({"redemption_id": "x", "points": 5, "extra": 1}, "unknown_field", "$.extra"),
        ):
            answer = await change(client, "/members/anna/redemptions", body)
            assert answer.status_code == 422, answer.text
            problem = answer.json()
            assert (problem["code"], problem["path"]) == (code, path), problem
            assert problem["type"].endswith(code)
        named = {"points": 7, "reason": "sorry", "actor": "somebody-else"}
        answer = await change(client, "/members/anna/adjustments", named)
        assert answer.json()["path"] == "$.actor"
        answer = await change(client, "/members/a b/redemptions", {})
        assert answer.json()["code"] == "bad_parameter"
        no_key = await client.post("/v1/members/anna/redemptions", json={})
        assert no_key.json()["code"] == "bad_parameter"
        text = await client.post(
            "/v1/members/anna/redemptions",
            content=b"{nothing",
            headers={"Idempotency-Key": "k", "Content-Type": "application/json"},
        )
        assert text.status_code == 400
        form = await client.post(
            "/v1/members/anna/redemptions", data={"points": 5}, headers={"Idempotency-Key": "k"}
        )
        assert form.status_code == 415

    play(story)


def test_a_named_moment_is_kept_and_the_far_future_is_refused(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        path = "/members/anna/purchases?occurred_at="
        answer = await change(client, path + "2026-01-02T10:00:00Z", basket(order_id="o1"))
        assert answer.json()["decision"]["occurred_at"] == 1_767_348_000_000_000
        again = await change(client, path + "2026-01-02T10:00:01Z", basket(order_id="o1"))
        assert again.status_code == 409
        untimed = await change(client, "/members/anna/purchases", basket(order_id="o1"))
        assert untimed.json()["repeated"] is True
        future = await change(client, path + "2199-01-02T10:00:00Z", basket(order_id="o2"))
        assert future.json()["code"] == "from_future"

    play(story)


def test_what_is_too_large_is_turned_away(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        large = await client.post(
            "/v1/members/anna/redemptions",
            content=b" " * (1 << 20) + b"{}",
            headers={"Idempotency-Key": "k", "Content-Type": "application/json"},
        )
        assert large.status_code == 413
        assert large.json()["code"] == "body_too_large"

        async def pieces() -> Any:
            for _ in range(20):
                yield b" " * 100_000

        streamed = await client.post(
            "/v1/members/anna/redemptions",
            content=pieces(),
            headers={"Idempotency-Key": "k", "Content-Type": "application/json"},
        )
        assert streamed.status_code == 413

    play(story)


def test_an_unknown_path_and_a_correlation_id(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/v1/nothing", headers={"X-Correlation-Id": "abc-1"})
        assert answer.json()["code"] == "no_such_path"
        assert answer.headers["x-correlation-id"] == "abc-1"
        assert answer.json()["correlation_id"] == "abc-1"
        own = await client.get("/v1/nothing", headers={"X-Correlation-Id": "a\tb"})
        assert len(own.headers["x-correlation-id"]) == 16

    play(story)


def _count(url: str, kind: str) -> int:
    with psycopg.connect(url) as owner:
        row = owner.execute("SELECT count(*) FROM ledger.events WHERE type = %s", [kind]).fetchone()
    assert row is not None
    return int(row[0])


def test_a_wrong_method_is_told_which_there_are(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.request("OPTIONS", "/v1/keys")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, POST"
        moment = await change(
            client, "/members/anna/purchases?occurred_at=0.5", basket(order_id="o1")
        )
        assert moment.json()["code"] == "bad_time"

    play(story)
