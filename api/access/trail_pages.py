"""The audit trail as auditors read it: newest first, page by page."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection, sql
from psycopg.rows import class_row

from api.access.trail import COLUMNS

NEWEST = (1 << 63) - 1
"""Before which all rows are."""


class TrailRow(Struct, frozen=True, kw_only=True):
    """One row; see `api.access.trail.Note`. `id`: ascends in the order of writing."""

    id: int
    at: datetime
    kind: str
    who: str | None
    person: str | None
    address: str | None
    operation: str | None
    method: str | None
    path: str | None
    correlation_id: str | None
    status: int | None
    code: str | None
    count: int


class Asked(Struct, frozen=True, kw_only=True):
    """What is asked for; None: whatever it is. `since` inclusive, `until` exclusive."""

    kind: str | None = None
    who: str | None = None
    person: str | None = None
    operation: str | None = None
    correlation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_PAGE = """
SELECT id, {} FROM api.audit_trail
WHERE id < %(before)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(who)s::text IS NULL OR who = %(who)s)
  AND (%(person)s::text IS NULL OR person = %(person)s)
  AND (%(operation)s::text IS NULL OR operation = %(operation)s)
  AND (%(correlation_id)s::text IS NULL OR correlation_id = %(correlation_id)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY id DESC LIMIT %(limit)s
"""


async def page(
    connection: AsyncConnection[Any], asked: Asked, limit: int, before: int = NEWEST
) -> list[TrailRow]:
    """At most `limit` rows with an id below `before`, newest first."""
    values = {name: getattr(asked, name) for name in Asked.__struct_fields__}
    async with connection.cursor(row_factory=class_row(TrailRow)) as cursor:
        columns = sql.SQL(", ").join(sql.Identifier(name) for name in COLUMNS)
        await cursor.execute(
            sql.SQL(_PAGE).format(columns), {**values, "before": before, "limit": limit}
        )
        return await cursor.fetchall()
