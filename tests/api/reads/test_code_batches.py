"""Making promo codes over HTTP: told once, the same again under the same key, and good."""

import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import msgspec

from api.code_batches import CODES_MAX, KEPT_SECONDS
from tests.api.reads.conftest import SCOPES_HEADER, Asking, asking_of
from tests.api.reads.test_catalogue import coded
from tests.api.reads.test_members import get

__all__ = ["coded"]


async def made(
    client: httpx.AsyncClient, body: dict[str, Any], key: str = "k1", series: str = "letter"
) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await client.post(f"/v1/promo-codes/{series}/batches", json=body, headers=headers)


def test_codes_for_everybody_and_for_members(coded: str, changing: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        answer = await made(client, {"count": 3})
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        assert (told["series"], told["repeated"], len(told["codes"])) == ("letter", False, 3)
        found = await get(client, f"/promo-codes/{told['codes'][0]['code']}")
        assert (found["series"], found["member_id"], found["uses_left"]) == ("letter", None, 1)
        bound = (await made(client, {"member_ids": ["b", "c"]}, "k2")).json()["codes"]
        assert [each["member_id"] for each in bound] == ["b", "c"]
        of_c = await get(client, f"/promo-codes/{bound[1]['code']}")
        assert of_c["member_id"] == "c"
        (series,) = [
            each
            for each in (await get(client, "/promo-codes"))["items"]
            if each["series"] == "letter"
        ]
        assert series["codes"] == 1 + 3 + 2

    changing(test)


def test_the_same_again_is_the_same_codes(coded: str, changing: Asking, tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        first = (await made(client, {"count": 2})).json()
        again = (await made(client, {"count": 2})).json()
        assert again == {**first, "repeated": True}
        other = await made(client, {"count": 3})
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
        (kept,) = (tmp_path / "codes").glob("*.csv")
        assert kept.stat().st_mode & 0o077 == 0, "whoever reads a code can use it"
        before = time.time() - KEPT_SECONDS - 60
        os.utime(kept, (before, before))
        other = await made(client, {"count": 3})
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
        gone = await made(client, {"count": 2})
        assert (gone.status_code, gone.json()["code"]) == (409, "codes_gone")
        assert list((tmp_path / "codes").iterdir()) == [], "a used key leaves no file"
        (series,) = [
            each
            for each in (await get(client, "/promo-codes"))["items"]
            if each["series"] == "letter"
        ]
        assert series["codes"] == 1 + 2, "they were made once"

    changing(test)


def test_what_is_refused(coded: str, changing: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        for body, series, expected in (
            ({"count": 1}, "nothing", (404, "unknown_series")),
            ({"count": 1}, "spring", (422, "fixed_code")),
            ({}, "letter", (422, "count_or_members")),
            ({"count": 1, "member_ids": ["b"]}, "letter", (422, "count_or_members")),
            ({"count": CODES_MAX + 1}, "letter", (422, "invalid_field")),
            ({"member_ids": ["b@example.com"]}, "letter", (422, "invalid_field")),
        ):
            answer = await made(client, body, f"k{series}{len(body)}", series)
            assert (answer.status_code, answer.json()["code"]) == expected
        headers = {"Idempotency-Key": "k", SCOPES_HEADER: "programs:read"}
        refused = await client.post(
            "/v1/promo-codes/letter/batches", json={"count": 1}, headers=headers
        )
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")

    changing(test)


def test_an_api_with_another_data_folder_makes_none_again(
    coded: str, own_url: str, tmp_path: Path
) -> None:
    async def first(client: httpx.AsyncClient) -> None:
        assert (await made(client, {"count": 2})).status_code == 201

    async def second(client: httpx.AsyncClient) -> None:
        for body, code in (({"count": 2}, "codes_gone"), ({"count": 3}, "conflict")):
            answer = await made(client, body)
            assert (answer.status_code, answer.json()["code"]) == (409, code)
        (stale,) = (tmp_path / "one" / "codes").iterdir()
        copy = tmp_path / "two" / "codes" / f"{stale.name}.part"
        copy.write_text("code\nAAAAA-AAAAA-AAAA\n")
        gone = await made(client, {"count": 2})
        assert (gone.status_code, gone.json()["code"]) == (409, "codes_gone"), "no codes of a guess"

    for folder, story in (("one", first), ("two", second)):
        asking_of(own_url, tmp_path / folder)(story)


def test_keys_that_a_version_before_noted_stay_known(
    coded: str, changing: Asking, tmp_path: Path
) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        assert (await made(client, {"count": 2})).status_code == 201
        (kept,) = (tmp_path / "codes").iterdir()
        asked = sha256(msgspec.json.encode(("letter", 2, None))).hexdigest()
        for done in (True, False):
            name = sha256(f"ann-key\0old-{done}".encode()).hexdigest()
            note = {"asked": asked, "made": done}
            kept.with_name(f"{name}.json").write_bytes(msgspec.json.encode(note))
        gone = await made(client, {"count": 2}, "old-True")
        assert (gone.status_code, gone.json()["code"]) == (409, "codes_gone")
        assert (await made(client, {"count": 3}, "old-False")).status_code == 201
        assert list((tmp_path / "codes").glob("*.json")) == []

    changing(test)
