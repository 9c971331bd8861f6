"""Reports say what the functions of the database and the folds of the log say."""

import csv
import io

import httpx
import pytest
from psycopg import IsolationLevel

from analytics.liability_report import owed, owed_plain
from api.routes import reports
from projections.connection import connect
from tests.api.reads.conftest import SCOPES_HEADER, Asking
from tests.api.reads.test_members import get
from tests.api.reads.test_programs import ended
from tests.ledger.opened import instant

FIGURES = ("sales", "points", "campaigns", "retention", "churn", "referrals", "rfm")

YEAR = {"from": "2017-01-01T00:00:00Z", "to": "2018-01-01T00:00:00Z"}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_what_the_database_says_in_both_forms(
    asking: Asking, folded: str, name: str
) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        told = await get(client, f"/kpis/{name}", **YEAR)
        table = await client.get(f"/v1/kpis/{name}", params=YEAR, headers={"Accept": "text/csv"})
        assert table.headers["content-type"].startswith("text/csv")
        assert table.headers["vary"].startswith("Accept, Accept-Encoding")
        rows = list(csv.reader(io.StringIO(table.text)))
        assert rows[0] == told["columns"]
        assert len(rows) - 1 == len(told["rows"])
        if name == "sales":
            place = told["columns"].index("member_purchases")
            with connect(folded) as connection:
                found = connection.execute(
                    "SELECT count(*) FROM read.member_purchases WHERE kind = 'purchase'"
                    " AND occurred_at < '2018-01-01Z'"
                ).fetchone()
            assert found is not None
            assert sum(row[place] for row in told["rows"]) == found[0] > 10
        tag = {"If-None-Match": table.headers["etag"]}
        assert (await client.get(f"/v1/kpis/{name}", params=YEAR, headers=tag)).status_code == 200
        tag["Accept"] = "text/csv"
        assert (await client.get(f"/v1/kpis/{name}", params=YEAR, headers=tag)).status_code == 304

    asking(test)


def test_a_figure_that_cannot_be_told_is_refused(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        for path, params, status, code in (
            ("sales", {"from": YEAR["to"], "to": YEAR["from"]}, 422, "no_period"),
            ("sales", {"from": "January"}, 422, "bad_time"),
            ("sales", {"by": "shoe"}, 422, "bad_parameter"),
            ("sales", {"grain": "x'; DROP TABLE read.balances--"}, 422, "bad_parameter"),
            ("secrets", {}, 422, "bad_parameter"),
            ("churn", {"idle_days": "0"}, 422, "bad_parameter"),
            ("sales", {"grain": "day"}, 422, "too_many_rows"),
        ):
            answer = await client.get(f"/v1/kpis/{path}", params=params)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        key = {SCOPES_HEADER: "members:read"}
        for path in ("kpis/sales", "liability"):
            assert (await client.get(f"/v1/{path}", headers=key)).status_code == 403

    monkeypatch.setattr(reports, "ROWS_MAX", 5)
    asking(test)


def test_what_is_owed_is_what_a_fold_of_the_log_gives(asking: Asking, folded: str) -> None:
    at = instant(30)
    with connect(folded) as connection:
        before = connection.isolation_level
        found = owed_plain(owed(connection, lambda *_: None, at, "rule"), "rule")
        assert connection.isolation_level is before is not IsolationLevel.REPEATABLE_READ

    async def test(client: httpx.AsyncClient) -> None:
        told = await get(client, "/liability", as_of=found["at"])
        assert (told["points"], told["liability"], told["debt"]) == (
            found["total"]["points"], found["total"]["liability"], found["debt"]
        )  # fmt: skip
        assert told["points"] > 0
        table = await client.get("/v1/liability", headers={"Accept": "text/csv"})
        assert table.text.splitlines()[0].startswith("as_of,currency,point_value")
        before = await client.get("/v1/liability", params={"as_of": "2001-01-01T00:00:00Z"})
        assert (before.status_code, before.json()["code"]) == (404, "no_program")
        begun = await client.post(
            "/v1/liability/reports",
            json={"report": "outstanding", "as_of": found["at"], "by": "rule"},
        )
        job = await ended(client, begun.json()["id"])
        assert job["result"] == found
        begun = await client.post(
            "/v1/liability/reports",
            json={"report": "movement", "since": "2017-01", "until": "2017-03"},
        )
        job = await ended(client, begun.json()["id"])
        assert [month["month"] for month in job["result"]] == ["2017-01", "2017-02", "2017-03"]
        assert job["total"] == job["done"] > 100
        for body, code in (
            ({"report": "deferred", "rate": "1.5"}, "bad_share"),
            ({"report": "secret"}, "invalid_field"),
            ({}, "invalid_field"),
        ):
            answer = await client.post("/v1/liability/reports", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, code)

    asking(test)
