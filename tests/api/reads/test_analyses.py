"""Hold-out groups, member values and uplift over HTTP say what the analyses say."""

from typing import Any

import httpx

from analytics import kpis, uplift
from analytics.customer_value import customers, predict
from analytics.holdout import in_holdout, members
from ledger.core.calendar import from_instant, parse_instant
from projections.connection import connect
from tests.api.reads.conftest import SCOPES_HEADER, Asking
from tests.api.reads.test_members import get
from tests.api.reads.test_programs import ended

AT = "2017-04-01T00:00:00Z"


def test_the_pages_of_a_holdout_group_are_the_group(asking: Asking, folded: str) -> None:
    with connect(folded) as connection:
        everybody = members(connection)
    chosen = [member for member in everybody if in_holdout("spring", member, 40)]
    assert 2 < len(chosen) < len(everybody) - 2

    async def test(client: httpx.AsyncClient) -> None:
        asked = {"campaign": "spring", "percent": 40, "limit": 2}
        found, cursor = [], None
        while True:
            more: dict[str, str] = {} if cursor is None else {"cursor": cursor}
            page = await get(client, "/kpis/holdout", **asked, **more)
            assert len(page["items"]) <= 2
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                break
        assert found == chosen
        others = await get(client, "/kpis/holdout", campaign="spring", percent=40, others=True)
        assert others["items"] == [one for one in everybody if one not in chosen]
        for query in ("", "?campaign=x&percent=0", "?campaign=x%00"):
            answer = await client.get(f"/v1/kpis/holdout{query}")
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")
        refused = await client.get(
            "/v1/kpis/holdout", params={"campaign": "x"}, headers={SCOPES_HEADER: "redeem"}
        )
        assert refused.status_code == 403

    asking(test)


def test_what_members_are_worth_is_a_job(asking: Asking, folded: str) -> None:
    early = "2017-01-06T00:00:00Z"  # too little for the models
    with connect(folded) as connection:
        found = customers(connection, from_instant(parse_instant(AT)))
        first = customers(connection, from_instant(parse_instant(early)))
    predicted = predict(found, 90)
    pairs = zip(predicted.of_members, found, strict=True)
    best = sorted((-value.value, one.member_id) for value, one in pairs)[:3]

    async def test(client: httpx.AsyncClient) -> None:
        async def report(**asked: object) -> dict[str, Any]:
            begun = await client.post("/v1/kpis/value/reports", json=asked)
            assert begun.status_code == 202, begun.text
            told: dict[str, Any] = (await ended(client, begun.json()["id"]))["result"]
            return told

        told = await report(at=AT, days=90, top=3)
        assert (told["at"], told["members_in_all"]) == (AT, len(found))
        assert [(-m["predicted_value"], m["member_id"]) for m in told["members"]] == best
        assert told["models"]["buying"] == predicted.buying._asdict()
        past = await report(at=early, top=100)
        assert past["models"] is None
        assert past["no_prediction"], "and it says why the past is told alone"
        assert sorted(m["member_id"] for m in past["members"]) == [m.member_id for m in first]
        for body, code in (({"top": 0}, "invalid_field"), ({"at": "May"}, "bad_time")):
            answer = await client.post("/v1/kpis/value/reports", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, code)

    asking(test)


def test_a_campaigns_uplift_is_a_job(asking: Asking, folded: str) -> None:
    since, until = "2017-02-01T00:00:00Z", AT
    with connect(folded) as connection:
        everybody = members(connection)
        held = frozenset(everybody[::2])
        begin, end = kpis.period(
            connection, from_instant(parse_instant(since)), from_instant(parse_instant(until))
        )
        expected = uplift.uplift(connection, "base", begin, end, held)

    async def test(client: httpx.AsyncClient) -> None:
        asked = {"rule": "base", "since": since, "until": until}
        begun = await client.post(
            "/v1/kpis/uplift/reports", json=asked | {"holdout_members": sorted(held)}
        )
        assert begun.status_code == 202, begun.text
        told = (await ended(client, begun.json()["id"]))["result"]
        assert told["target_members"] == expected.target_members > 1
        assert told["holdout_members"] == expected.holdout_members > 1
        assert told["target_points"] == expected.target_points
        assert told["per_member"] == expected.per_member._asdict()
        assert (told["since"], told["until"]) == (since, until)
        small = await client.post(
            "/v1/kpis/uplift/reports", json=asked | {"holdout_tag": "nobody-has-it"}
        )
        failed = await ended(client, small.json()["id"])
        assert (failed["state"], failed["error"]["code"]) == ("failed", "small_group")
        for more in ({}, {"holdout_percent": 5, "holdout_tag": "x"}):
            answer = await client.post("/v1/kpis/uplift/reports", json=asked | more)
            assert (answer.status_code, answer.json()["code"]) == (422, "holdout_group")

    asking(test)
