"""The catalogue with what is left of it, and promo codes."""

import asyncio
from pathlib import Path

import httpx
import psycopg
import pytest

from ledger.application import Ledger
from tests.api.reads.conftest import SCOPES_HEADER, Asking, settings_for
from tests.api.reads.test_members import get


def test_what_is_left_of_a_reward_falls_with_each_claim(changing: Asking) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        (mug,) = (await get(client, "/rewards"))["items"]
        assert (mug["reward_id"], mug["points"], mug["kind"]) == ("mug", 20, "gift")
        # One was given in the log, and there was one.
        assert (mug["stock"], mug["given"], mug["left"]) == (1, 1, 0)
        (forest,) = (await get(client, "/charities"))["items"]
        assert forest["charity_id"] == "forest"

    changing(test)


@pytest.fixture
def coded(own_url: str, tmp_path: Path) -> str:
    """A generated code, bound to b; the newest version has a fixed one besides."""
    text = (Path(__file__).parents[2] / "ledger" / "program.yaml").read_text("utf-8")
    text = text.replace("2017-01-01T00:00:00Z", "2018-06-01T00:00:00Z")
    text += (
        "promo_codes:\n  - {id: letter}\n"
        "  - {id: spring, code: SPRING-26, uses: 100, per_member: 1}\n"
    )
    from ledger.core.program.load import load_program

    async def make() -> None:
        ledger = await Ledger.open(settings_for(own_url, tmp_path))
        try:
            await ledger.publish_program(load_program(text, "coded.yaml"))
            await ledger.generate_codes("letter", 1, tmp_path / "codes.csv", ["b"])
        finally:
            await ledger.close()

    asyncio.run(make())
    return (tmp_path / "codes.csv").read_text("utf-8").split()[-1].split(",")[0]


def test_what_a_promo_code_is(coded: str, changing: Asking, own_url: str) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        series = {each["series"]: each for each in (await get(client, "/promo-codes"))["items"]}
        assert series["spring"]["uses_left"] == 100
        assert (series["letter"]["codes"], series["letter"]["uses_left"]) == (1, 1)
        fixed = await get(client, "/promo-codes/spring26")
        assert (fixed["series"], fixed["kind"], fixed["per_member"]) == ("spring", "fixed", 1)
        bound = await get(client, f"/promo-codes/{coded.lower()}")
        assert (bound["series"], bound["member_id"], bound["uses_left"]) == ("letter", "b", 1)
        of_member = await get(client, "/members/b/promo-codes")
        assert of_member["bound"] == [{"series": "letter", "codes": 1, "uses_left": 1}]
        for nothing in ("NOTHING", "%00", "x'--", "%F0%9F%8E%81"):
            answer = await client.get(f"/v1/promo-codes/{nothing}")
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_code")

    changing(test)
    with psycopg.connect(own_url) as connection:
        row = connection.execute("SELECT uses_left FROM ledger.promo_codes").fetchone()
    assert row == (1,), "looking uses nothing"


@pytest.mark.parametrize("path", ["/rewards", "/charities", "/promo-codes", "/promo-codes/x"])
def test_the_catalogue_asks_for_scopes_and_knows_who_has_it(asking: Asking, path: str) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        refused = await client.get(f"/v1{path}", headers={SCOPES_HEADER: "redeem"})
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        first = await client.get(f"/v1{path}")
        if first.status_code == 200:
            tag = {"If-None-Match": first.headers["etag"]}
            assert (await client.get(f"/v1{path}", headers=tag)).status_code == 304

    asking(test)
