"""The checkpoints of the audit: where every shard's log ended, as it was signed, and as it is.

They are made by `points audit checkpoint` only: whoever can write to the database, as the API can,
must not have the key that signs.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from psycopg import Connection
from starlette.responses import Response

from api.caller import Caller, require
from api.fresh import fresh, question
from api.pages import DEFAULT, Cursor, Limit, after_of, cursor_of, cut
from api.reading import reading, state_of
from api.scopes import Scope
from audit.checkpoint import Content, file_name, hash_of, read

group = APIRouter(prefix="/v1/audit", tags=["operations"])

LISTING = ("checkpoints",)

_HELD = """
SELECT h.shard FROM unnest(%s::int[], %s::bigint[], %s::bytea[]) AS h (shard, position, hash)
WHERE NOT EXISTS (
    SELECT FROM ledger.events e
    WHERE e.shard = h.shard AND e.position = h.position AND e.hash = h.hash)
ORDER BY h.shard
"""


class HeadRow(Struct, frozen=True):
    """Where a shard's log ended; -1: the system's. `hash`: of its last event, hex."""

    shard: int
    position: int
    hash: str


class CheckpointRow(Struct, frozen=True):
    """A checkpoint. `at`: the moment of its snapshot; `hash`: by which the next one names it;
    `previous`: that of the one before, null for the first; `key`: the key that signed (the
    signature is checked by `points audit verify`); `events`: of all shards; `not_held`: shards
    whose log does not hold the head any more: cut off, changed, or restored from a backup."""

    number: int
    at: datetime
    hash: str
    previous: str | None
    key: str
    events: int
    heads: list[HeadRow]
    not_held: list[int]


class CheckpointsAnswer(Struct, frozen=True):
    """Checkpoints, the newest first. `configured`: whether POINTS_CHECKPOINT_DIR says where they
    are."""

    configured: bool
    items: list[CheckpointRow]
    next: str | None


@group.get("/checkpoints", operation_id="list_checkpoints", **question(CheckpointsAnswer))
def checkpoints(
    request: Request,
    _: Annotated[Caller, Depends(require(Scope.AUDIT_READ))],
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The checkpoints of the audit with their heads, and whether the log still holds these. Raises
    AuditRefused (bad_checkpoint)."""
    state = state_of(request)
    before, folder = after_of(LISTING, cursor, int), state.settings.checkpoint_dir
    if folder is None:
        return fresh(request, CheckpointsAnswer(False, [], None))
    found, more = cut(list(_newest(folder, before, limit + 1)), limit)
    with reading(state) as connection:
        rows = [_row(connection, each) for each in found]
    following = cursor_of(LISTING, rows[-1].number) if more else None
    return fresh(request, CheckpointsAnswer(True, rows, following))


def _newest(folder: Path, before: int | None, count: int) -> Iterator[Content]:
    """So many checkpoints, those below number `before`, the newest first. Raises AuditRefused."""
    paths = sorted(folder.glob("checkpoint-*.json"), reverse=True)
    if before is not None:
        paths = [path for path in paths if path.name < file_name(before)]
    for path in paths[:count]:
        yield read(path).content


def _row(connection: Connection[Any], content: Content) -> CheckpointRow:
    heads = [HeadRow(each.shard, each.position, each.hash) for each in content.shards]
    ended = [head for head in heads if head.position]
    lost = connection.execute(
        _HELD.encode(),
        (
            [head.shard for head in ended],
            [head.position for head in ended],
            [bytes.fromhex(head.hash) for head in ended],
        ),
    ).fetchall()
    return CheckpointRow(
        content.number,
        datetime.fromisoformat(content.at),
        hash_of(content),
        content.previous,
        content.key,
        sum(head.position for head in heads),
        heads,
        [shard for (shard,) in lost],
    )
