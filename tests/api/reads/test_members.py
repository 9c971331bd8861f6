"""What the API answers about members: the same as the log, the read models and the commands."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api.pages import cursor_of
from audit.as_of import as_of
from audit.as_of_all import programs_known
from audit.member_log import ledger_facts, member_log
from ledger.core.calendar import from_instant
from projections.connection import connect
from tests.api.reads.conftest import SCOPES_HEADER, Asking
from tests.ledger.opened import instant

MEMBERS = ("a", "b", "c", "e", "f")

ALL_PATHS = ("", "/balance", "/lots", "/history", "/explain", "/tier", "/segments", "/referrals",
             "/promo-codes")  # fmt: skip


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    """The answer of a question that succeeds."""
    answer = await client.get(f"/v1{path}", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def pages(client: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    """The items of all pages."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = await get(client, path, **params, **({} if cursor is None else {"cursor": cursor}))
        assert len(page["items"]) <= params["limit"]
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def test_a_balance_is_what_the_log_gives_now_then_and_as_was_known(
    asking: Asking, folded: str
) -> None:
    with connect(folded) as connection:
        ledger = ledger_facts(connection)
        programs = programs_known(connection)
        logs = {name: member_log(connection, ledger, name) for name in MEMBERS}

    async def test(client: httpx.AsyncClient) -> None:
        for name, log in logs.items():
            events = [each.event for each in log]
            for at in (instant(15), instant(26.5), instant(400)):
                then = as_of(name, events, programs, at)
                params = {"as_of": from_instant(at).isoformat()}
                answer = await client.get(f"/v1/members/{name}/balance", params=params)
                if then is None:
                    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_member")
                    continue
                told = answer.json()
                for field in ("available", "pending", "reserved", "debt", "granted", "expired",
                              "tier", "in_lots", "liability"):  # fmt: skip
                    assert told[field] == getattr(then, field), (name, at, field)
                lots = await pages(client, f"/members/{name}/lots", limit=2, **params)
                assert sum(x["available"] + x["pending"] + x["reserved"] for x in lots) == (
                    then.in_lots
                )
            known = as_of(name, events, programs, log[-1].recorded_at)
            assert known is not None
            now = await get(client, f"/members/{name}/balance")
            assert (now["available"], now["tier"], now["status"]) == (
                known.available, known.tier, known.status
            )  # fmt: skip
            assert now["as_of"] is None
            # All of the log was recorded today: yesterday nothing was known.
            early = await client.get(
                f"/v1/members/{name}/balance",
                params={"as_of": "2020-01-01T00:00:00Z", "by": "recorded"},
            )
            assert early.status_code == 404
            late = await get(client, f"/members/{name}/balance", by="recorded")
            assert late["available"] == known.available

    asking(test)


def test_a_history_read_in_pages_is_every_entry_once_newest_first(
    asking: Asking, folded: str
) -> None:
    with connect(folded) as connection:
        log = member_log(connection, ledger_facts(connection), "b")

    async def test(client: httpx.AsyncClient) -> None:
        found = await pages(client, "/members/b/history", limit=3)
        assert [each["position"] for each in found] == [each.position for each in reversed(log)]
        assert sum(each["moved"]["available"] for each in found) == sum(
            posting.points for each in log for posting in each.event.postings
            if posting.account == "available"
        )  # fmt: skip
        then = await pages(
            client, "/members/b/history", limit=2, as_of="2017-01-25T12:00:00Z", lang="ru"
        )
        assert 0 < len(then) < len(found)
        assert all(each["occurred_at"] <= "2017-01-25T12:00:00Z" for each in then)
        assert any("заказ" in each["headline"] for each in then)

    asking(test)


def test_an_order_is_explained_in_both_languages(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        then = {"order": "b1", "as_of": "2018-01-01T00:00:00Z"}
        english = await get(client, "/members/b/explain", **then)
        russian = await get(client, "/members/b/explain", **then, lang="ru")
        (judged,) = english["explanation"]["judged"]
        assert judged["by"]["order_id"] == "b1"
        assert english["explanation"]["lots"] == russian["explanation"]["lots"]
        assert english["words"] != russian["words"]
        one = await get(client, "/members/b/explain", lot=1)
        assert [lot["lot"] for lot in one["explanation"]["lots"]] == [1]
        for params, code in (
            ({"order": "never"}, "unknown_order"),
            ({"lot": "99"}, "unknown_lot"),
        ):
            answer = await client.get("/v1/members/b/explain", params=params)
            assert (answer.status_code, answer.json()["code"]) == (404, code)

    asking(test)


def test_the_card_the_tier_the_ties_and_the_codes(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        card = await get(client, "/members/a")
        assert card["balance"] == await get(client, "/members/a/balance")
        tier = await get(client, "/members/a/tier")
        assert card["progress"] == tier["progress"]
        assert tier["tier"] == card["balance"]["tier"]
        assert {"gold"} <= {each["tier"] for each in tier["intervals"]}
        segments = await get(client, "/members/a/segments")
        assert card["segments"] == segments["segments"] == ["north"]
        assert segments["values"]["recency_days"] > 0
        merged = await get(client, "/members/c")
        assert (merged["balance"]["status"], merged["balance"]["merged_into"]) == ("merged", "b")
        ties = await get(client, "/members/b/referrals")
        assert [each["referee_id"] for each in ties["items"]] == ["c"]
        codes = await get(client, "/members/a/promo-codes")
        assert {each["text"] for each in codes["items"]} == {"x"}
        assert {each["status"] for each in codes["items"]} == {"unknown"}

    asking(test)


def test_members_are_found_by_the_beginning_of_their_id(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        everybody = await pages(client, "/members", limit=5)
        names = [each["member_id"] for each in everybody]
        assert names == sorted(names)
        assert set(MEMBERS) <= set(names)
        some = await pages(client, "/members", limit=3, prefix="m1")
        assert [each["member_id"] for each in some] == [x for x in names if x.startswith("m1")]
        assert len(some) > 1
        (only,) = (await get(client, "/members", prefix="b"))["items"]
        balance = await get(client, "/members/b/balance")
        assert only["available"] == balance["available"]

    asking(test)


@pytest.mark.parametrize("path", ALL_PATHS)
def test_each_question_asks_for_its_scope_and_knows_who_is_unknown(
    asking: Asking, path: str
) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        refused = await client.get(f"/v1/members/a{path}", headers={SCOPES_HEADER: "reports:read"})
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        nobody = await client.get(f"/v1/members/nobody-at-all{path}")
        assert (nobody.status_code, nobody.json()["code"]) == (404, "unknown_member")
        for strange in ("a%40b.c", "x" * 129, quote("a' OR 1=1 --"), "a%0A"):
            answer = await client.get(f"/v1/members/{strange}{path}")
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")

    asking(test)


def test_the_pages_of_an_explanation_are_the_explanation(asking: Asking) -> None:
    parts = ("lots", "owed", "refused", "judged")

    async def test(client: httpx.AsyncClient) -> None:
        then = {"as_of": "2017-06-01T00:00:00Z", "rules": True}
        whole = await get(client, "/members/b/explain", **then)
        assert whole["next"] is None
        found: dict[str, list[Any]] = {name: [] for name in parts}
        cursor: dict[str, str] = {}
        while True:
            page = await get(client, "/members/b/explain", limit=3, **then, **cursor)
            told = page["explanation"]
            assert sum(len(told[name]) for name in parts) <= 3
            assert told["available"] == whole["explanation"]["available"]
            for name in parts:
                found[name] += told[name]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert found == {name: whole["explanation"][name] for name in parts}
        first = await get(client, "/members/b/explain", limit=3)
        second = await get(client, "/members/b/explain", limit=3, cursor=first["next"])
        moments = {each["explanation"]["as_of"] for each in (first, second)}
        assert len(moments) == 1, "every page is of the first one's moment"
        other = await client.get("/v1/members/c/explain", params={"cursor": first["next"]})
        assert (other.status_code, other.json()["code"]) == (422, "bad_cursor")

    asking(test)


@pytest.mark.parametrize("path", [path for path in ALL_PATHS if path != "/explain"])
def test_who_has_the_answer_is_told_so(asking: Asking, path: str) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        first = await client.get(f"/v1/members/b{path}")
        tag = first.headers["etag"]
        assert tag.startswith('"')
        assert "no-cache" in first.headers["cache-control"]
        for asked in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            again = await client.get(f"/v1/members/b{path}", headers={"If-None-Match": asked})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
        other = await client.get(f"/v1/members/b{path}", headers={"If-None-Match": '"x"'})
        assert (other.status_code, other.content) == (200, first.content)

    asking(test)


def test_a_balance_has_another_tag_after_a_change(changing: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        first = await client.get("/v1/members/b/balance")
        done = await client.post(
            "/v1/members/b/adjustments",
            json={"points": 7, "reason": "sorry"},
            headers={"Idempotency-Key": "k1"},
        )
        assert done.status_code == 200, done.text
        again = await client.get(
            "/v1/members/b/balance", headers={"If-None-Match": first.headers["etag"]}
        )
        assert again.status_code == 200
        assert again.json()["available"] == first.json()["available"] + 7
        newest = await get(client, "/members/b/history", limit=1)
        assert newest["items"][0]["moved"]["available"] == 7

    changing(test)


CURSORS = ("x", "=", "AAAA", "eyJhIjoxfQ", "é", "A" * 500, "-" * 9, "MTIzNDU2Nzg5")


def test_a_cursor_that_was_not_given_is_refused(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        lists = [
            "/members", "/members/b/history", "/members/b/lots", "/members/b/referrals",
            "/members/b/promo-codes",
        ]  # fmt: skip
        page = await get(client, "/members/b/history", limit=2)
        given = page["next"]
        strange = [*CURSORS, given[:-2], given[::-1], given + "A"]
        for path in lists:
            for cursor in [*strange, *([given] if path != "/members/b/history" else [])]:
                answer = await client.get(f"/v1{path}", params={"cursor": cursor})
                assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor"), cursor
        # With other filters it is another listing.
        answer = await client.get(
            "/v1/members/b/history", params={"cursor": given, "as_of": "2018-01-01T00:00:00Z"}
        )
        assert answer.status_code == 422
        other = await client.get("/v1/members/a/history", params={"cursor": given})
        assert other.status_code == 422
        # Who knows how they are made cannot do more harm than see another page.
        for listing, path, afters in (
            (("members", ""), "/members", ("a\0", "'; --", "é")),
            (("history", "b", None), "/members/b/history", (-1, 0, 2**31, 2**63, 2**70)),
            (("lots", "b", None, "occurred"), "/members/b/lots", (-1, 2**70)),
        ):
            for after in afters:
                params = {"cursor": cursor_of(listing, after)}
                answer = await client.get(f"/v1{path}", params=params)
                assert answer.status_code in (200, 422), (path, after)

    asking(test)


MOMENTS = ("now", "2018-01-15", "2018-01-15T00:00:00", "2018-13-15T00:00:00Z", "1", "",
           "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2018-01-15T00:00:00+25:00",
           "2018-01-15 00:00:00Z", "2018-01-15T00:00:00 03:00",
           "\uff12018-01-15T00:00:00Z")  # fmt: skip


def test_a_moment_that_is_none_is_refused(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        for path in ("/balance", "/lots", "/history", "/explain", "/segments"):
            for moment in MOMENTS:
                answer = await client.get(f"/v1/members/b{path}", params={"as_of": moment})
                assert (answer.status_code, answer.json()["code"]) == (422, "bad_time"), moment
            fine = await client.get(
                f"/v1/members/b{path}", params={"as_of": "2018-01-15t00:00:00.5+03:00"}
            )
            assert fine.status_code == 200, fine.text

    asking(test)


def test_many_questions_at_once_are_all_answered(asking: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        found = await asyncio.gather(
            *(client.get(f"/v1/members/{name}{path}") for name in "ab" * 5 for path in ALL_PATHS)
        )
        assert {answer.status_code for answer in found} == {200}

    asking(test)
