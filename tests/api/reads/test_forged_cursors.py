"""A cursor is no secret: whoever makes one of his own gets a page or a refusal, never a failure."""

import httpx
import pytest

from api.pages import cursor_of
from tests.api.reads.conftest import Asking

FORGED: tuple[object, ...] = (
    -1,
    2**63,
    2**70,
    -(2**70),
    10**400,
    "",
    "\x01",
    "z" * 200,
    "é",
    [0, 2**70],
    [2**62, 0],
    [-1, 0],
    [0, -1],
    [1_500_000_000_000_000, 2**62],
    None,
    1.5,
    [],
    {"a": 1},
)

LISTS: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("/members", ("members", "")),
    ("/members/b/history", ("history", "b", None)),
    ("/members/b/lots", ("lots", "b", None, "occurred")),
    ("/members/b/explain", ("explain", "b", None, None, None)),
    ("/members/b/referrals", ("referrals", "b")),
    ("/dead-letters", ("dead-letters", "open", None)),
    ("/segments/north/members", ("segment-members", "north", None)),
    ("/kpis/holdout?campaign=x", ("holdout", "x", 10.0, False)),
    ("/rewards", ("rewards",)),
    ("/programs", ("programs",)),
    ("/jobs", ("jobs",)),
)


@pytest.mark.parametrize(("path", "listing"), LISTS)
def test_no_cursor_makes_a_list_fail(
    asking: Asking, path: str, listing: tuple[object, ...]
) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        for after in FORGED:
            cursor = cursor_of(listing, after)
            if len(cursor) > 512:
                continue
            address = httpx.URL(f"/v1{path}").copy_merge_params({"cursor": cursor})
            answer = await client.get(address)
            assert answer.status_code in (200, 404, 422), (path, after, answer.text)

    asking(test)
