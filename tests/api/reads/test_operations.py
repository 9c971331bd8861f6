"""Operations: shards, lag, dead letters with their bytes, read models, rebuild and audit."""

import asyncio
from base64 import b64decode
from pathlib import Path

import httpx
import msgspec
import psycopg
import pytest

from audit.verify import verify
from ledger.application import Ledger
from ledger.received import RecordRef, undecodable
from tests.api.reads.conftest import SCOPES_HEADER, Asking, settings_for
from tests.api.reads.test_members import get, pages
from tests.api.reads.test_programs import ended
from tests.ledger.events import SHARDS

BYTES = b'\xff\x00{"not": json'


@pytest.fixture
def letters(own_url: str, tmp_path: Path) -> None:
    """Three dead letters; the first could be taken now."""

    async def make() -> None:
        ledger = await Ledger.open(settings_for(own_url, tmp_path))
        try:
            good = (
                b'{"specversion": "1.0", "type": "survey.completed.v1", "id": "s", "source": "x",'
                b' "subject": "late", "time": "2017-02-01T00:00:00Z",'
                b' "data": {"survey_id": "household-profile", "completion_id": "late-1"}}'
            )
            for offset, value in enumerate((good, BYTES, b"")):
                headers = (("caf\udce9", b"\xff"), ("none", None)) if offset else ()
                record = RecordRef("surveys", 1, offset, b"k\xff", value, headers, 1_500)
                await ledger.handle([undecodable(record, "not_json", "$", "It is no JSON.")])
        finally:
            await ledger.close()

    asyncio.run(make())


@pytest.mark.usefixtures("letters")
def test_dead_letters_are_shown_with_their_bytes_retried_and_given_up(changing: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        found = await pages(client, "/dead-letters", limit=2, code="not_json")
        ids = [letter["id"] for letter in found]
        assert (len(ids), ids) == (3, sorted(ids))
        shown = await client.get(f"/v1/dead-letters/{ids[1]}")
        assert shown.headers["cache-control"] == "no-store"
        letter = shown.json()
        assert b64decode(letter["value"]) == BYTES
        assert b64decode(letter["key"]) == b"k\xff"
        assert [header["name"] for header in letter["headers"]] == ["caf\\xe9", "none"]
        assert (letter["letter"]["source"], letter["letter"]["offset"]) == ("surveys", 1)

        done = await client.post(f"/v1/dead-letters/{ids[0]}/retry")
        assert (done.status_code, done.json()["outcome"]) == (200, "applied"), done.text
        assert (await get(client, "/members/late/balance"))["granted"] == 200
        again = await client.post(f"/v1/dead-letters/{ids[0]}/retry")
        assert (again.status_code, again.json()["code"]) == (409, "closed")
        still = await client.post(f"/v1/dead-letters/{ids[1]}/retry")
        assert (still.json()["outcome"], still.json()["code"]) == ("dead_lettered", "not_utf8")

        path = f"/v1/dead-letters/{ids[2]}/discard"
        for body in ({}, {"reason": ""}, {"reason": " \n"}, {"reason": "x" * 501}):
            assert (await client.post(path, json=body)).status_code == 422
        given_up = await client.post(path, json={"reason": "an  empty record\n"})
        assert given_up.json()["discard_reason"] == "an empty record"
        assert given_up.json()["discarded_by"] == "ann"
        assert (await client.post(path, json={"reason": "x"})).json()["code"] == "closed"
        (only,) = (await get(client, "/dead-letters", status="discarded"))["items"]
        assert only["id"] == ids[2]

        missing = await client.get("/v1/dead-letters/999999")
        assert (missing.status_code, missing.json()["code"]) == (404, "no_dead_letter")
        assert (await client.post("/v1/dead-letters/999999/retry")).status_code == 404
        assert (await client.get(f"/v1/dead-letters/{2**63}")).status_code == 422
        reading = {SCOPES_HEADER: "operations:read"}
        refused = await client.post(f"/v1/dead-letters/{ids[1]}/retry", headers=reading)
        assert refused.status_code == 403

    changing(test)


def test_shards_streams_and_read_models_say_how_far_they_are(
    changing: Asking, own_url: str
) -> None:
    with psycopg.connect(own_url) as connection:
        heads: dict[int, int] = dict(
            connection.execute("SELECT shard, position FROM ledger.heads").fetchall()
        )

    async def test(client: httpx.AsyncClient) -> None:
        rows = await pages(client, "/shards", limit=2)
        assert {row["shard"]: row["position"] for row in rows} == heads
        assert len(rows) == SHARDS + 1
        assert {row["behind"] for row in rows} == {0}
        models = await get(client, "/projections")
        assert models["caught_up"] is True
        assert {row["projection"] for row in models["items"]} >= {"balances", "tiers", "segments"}
        assert {"segment": "north", "members": 1} in models["segments"]
        done = await client.post(
            "/v1/members/b/adjustments",
            json={"points": 7, "reason": "sorry"},
            headers={"Idempotency-Key": "k1"},
        )
        assert done.status_code == 200
        assert (await get(client, "/projections"))["caught_up"] is False
        assert sum(row["behind"] for row in (await get(client, "/shards"))["items"]) >= 1
        assert await get(client, "/streams") == {"kafka": True, "items": [], "next": None}

    changing(test)


def test_a_rebuild_and_an_audit_are_jobs(changing: Asking, own_url: str) -> None:
    audited = verify(own_url, jobs=1)

    async def test(client: httpx.AsyncClient) -> None:
        begun = await client.post("/v1/projections/tiers/rebuilds", json={})
        assert begun.status_code == 202, begun.text
        audit = await client.post("/v1/audit/verifications", json={})
        job = await ended(client, begun.json()["id"])
        assert job["state"] == "done", job["error"]
        assert job["result"]["projection"] == "tiers"
        assert (job["result"]["differences"], job["result"]["rows_compared"] > 0) == (0, True)
        found = await ended(client, audit.json()["id"])
        assert found["state"] == "done", found["error"]
        assert found["result"]["ended"] is True
        assert [shard["findings"] for shard in found["result"]["shards"]] == msgspec.to_builtins(
            [shard.findings for shard in audited.shards]
        )
        assert found["total"] == found["done"] > 0
        unknown = await client.post("/v1/projections/unknown/rebuilds", json={})
        assert unknown.status_code == 422
        for path, scope in (
            ("/v1/projections/tiers/rebuilds", "operations:read"),
            ("/v1/audit/verifications", "operations:write"),
        ):
            refused = await client.post(path, json={}, headers={SCOPES_HEADER: scope})
            assert refused.status_code == 403
        seen = await client.get("/v1/jobs", headers={SCOPES_HEADER: "programs:read audit:read"})
        assert [row["kind"] for row in seen.json()["items"]] == ["verify"]

    changing(test)
