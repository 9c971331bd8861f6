"""Tiers and segments: what the program has, and whom the read models have in them."""

import httpx

from projections.connection import connect
from tests.api.reads.conftest import SCOPES_HEADER, Asking
from tests.api.reads.test_members import get


def test_the_tiers_with_their_members(asking: Asking, folded: str) -> None:
    with connect(folded) as connection:
        rows = connection.execute("SELECT tier, count(*) FROM read.tiers_now GROUP BY tier")
        counted: dict[str, int] = dict(rows.fetchall())
    assert counted

    async def test(client: httpx.AsyncClient) -> None:
        told = await get(client, "/tiers")
        assert told["items"][0]["tier"] == "none"
        assert told["measure"]
        levels = [each["at_least"] for each in told["items"][1:]]
        assert levels == sorted(levels)
        found = {each["tier"]: each["members"] for each in told["items"] if each["members"]}
        assert found == counted

    asking(test)


def test_the_segments_with_their_members(asking: Asking, folded: str) -> None:
    with connect(folded) as connection:
        rows = connection.execute("SELECT segment, member_id FROM read.segments_now ORDER BY 1, 2")
        inside: dict[str, list[str]] = {}
        for segment, member_id in rows.fetchall():
            inside.setdefault(segment, []).append(member_id)
    assert inside

    async def test(client: httpx.AsyncClient) -> None:
        told = {each["segment"]: each for each in (await get(client, "/segments"))["items"]}
        for segment, members in inside.items():
            assert told[segment]["members"] == len(members)
            assert told[segment]["when"]
            found: list[str] = []
            cursor: dict[str, str] = {}
            while True:
                page = await get(client, f"/segments/{segment}/members", limit=1, **cursor)
                found += [each["member_id"] for each in page["items"]]
                if page["next"] is None:
                    break
                cursor = {"cursor": page["next"]}
            assert found == members
        long_ago = await get(client, f"/segments/{segment}/members", as_of="2001-01-01T00:00:00Z")
        assert long_ago["items"] == []
        for name, code in (("nobody's", "unknown_segment"), ("%00", "bad_parameter")):
            answer = await client.get(f"/v1/segments/{name}/members")
            assert answer.json()["code"] == code
        for path in ("/tiers", "/segments", f"/segments/{segment}/members"):
            refused = await client.get(f"/v1{path}", headers={SCOPES_HEADER: "redeem"})
            assert refused.status_code == 403

    asking(test)
