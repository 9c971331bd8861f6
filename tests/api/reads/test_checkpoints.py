"""The checkpoints over HTTP: with their heads, and whether the log still holds them."""

from pathlib import Path

import httpx
import psycopg

from audit import checkpoint as checkpoints
from audit.keys import generate, read_private
from audit.plan import plan_of
from audit.session import connect, one_moment
from ledger.core.calendar import parse_instant
from ledger.settings import Settings
from tests.api.reads.conftest import SCOPES_HEADER, Asking, asking_of
from tests.api.reads.test_members import get


def signed(url: str, folder: Path, count: int) -> None:
    """So many checkpoints of the log as it is."""
    generate(folder / "key", folder / "pub")
    key, before = read_private(folder / "key"), None
    for number in range(1, count + 1):
        with connect(url) as connection, one_moment(connection):
            plan = plan_of(connection, "", "", with_read_models=False)
            made = checkpoints.make(
                connection,
                key,
                (plan.ledger_id, plan.program_id),
                plan.heads,
                parse_instant(f"2026-01-0{number}T00:00:00Z"),
                before,
            )
        checkpoints.write(folder, made)
        before = made.content


def configured(client: httpx.AsyncClient, folder: Path) -> None:
    """Let the API know where the checkpoints are."""
    state = client.app.state.points  # type: ignore[attr-defined]
    settings: Settings = state.settings
    state.settings = settings.model_copy(update={"checkpoint_dir": folder})


def test_checkpoints_with_their_heads(asking: Asking, folded: str, tmp_path: Path) -> None:
    signed(folded, tmp_path, 3)

    async def test(client: httpx.AsyncClient) -> None:
        nowhere = await get(client, "/audit/checkpoints")
        assert nowhere == {"configured": False, "items": [], "next": None}
        configured(client, tmp_path)
        first = await get(client, "/audit/checkpoints", limit=2)
        assert [each["number"] for each in first["items"]] == [3, 2]
        newest, second = first["items"]
        assert (newest["at"], newest["previous"]) == ("2026-01-03T00:00:00Z", second["hash"])
        assert newest["events"] == sum(head["position"] for head in newest["heads"]) > 0
        assert newest["not_held"] == []
        rest = await get(client, "/audit/checkpoints", limit=2, cursor=first["next"])
        assert [each["number"] for each in rest["items"]] == [1]
        assert rest["next"] is None
        refused = await client.get(
            "/v1/audit/checkpoints", headers={SCOPES_HEADER: "operations:read"}
        )
        assert refused.status_code == 403

    asking(test)


def test_a_log_that_was_cut_off_is_told(own_url: str, tmp_path: Path) -> None:
    signed(own_url, tmp_path, 1)
    with psycopg.connect(own_url, autocommit=True) as owner:
        row = owner.execute(
            "SELECT shard, position FROM ledger.heads WHERE shard >= 0 AND position > 1 LIMIT 1"
        ).fetchone()
        assert row is not None
        # As by someone who can do everything with the database, and does it thoroughly.
        owner.execute("SET session_replication_role = replica")
        owner.execute("DELETE FROM ledger.events WHERE shard = %s AND position = %s", row)
        owner.execute(
            "UPDATE ledger.heads h SET position = e.position, hash = e.hash FROM ledger.events e"
            " WHERE h.shard = %s AND e.shard = h.shard AND e.position = %s - 1",
            row,
        )

    async def test(client: httpx.AsyncClient) -> None:
        configured(client, tmp_path)
        (only,) = (await get(client, "/audit/checkpoints"))["items"]
        assert only["not_held"] == [row[0]]

    asking_of(own_url, tmp_path / "data")(test)
