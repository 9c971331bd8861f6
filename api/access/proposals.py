"""Proposals in the database: what somebody wants changed, until another person has decided.

    open ──▶ approved ──▶ done
      │          └──────▶ failed       the ledger refused it
      ├──▶ rejected
      └──▶ (expired: still open when its time was over)

The database itself holds that a proposal only goes forward, and that whoever decided is another
person than whoever proposed.
"""

import base64
import secrets
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from api.problems import Problem

Connection = AsyncConnection[Any]

EXPIRY_SECONDS = 7 * 86_400
"""How long a proposal waits for a second person: over a holiday."""

OPEN_MAX = 1_000
"""Proposals that wait at once; more are refused, for nobody looks at a thousand."""

OPEN_EACH_MAX = 100
"""Of these, of one caller, and of one person with whatever keys: so that one alone does not keep
all others from proposing."""

KINDS = ("adjustment", "program")

STATES = ("open", "approved", "rejected", "expired", "done", "failed")

REASON_CHARACTERS_MAX = 500


class Proposal(Struct, frozen=True, kw_only=True):
    """A row. `subject`: the member, or the program version; `content`: what is carried out;
    `timed`: the proposer named the moment at which it happens; `result`: how it ended."""

    id: str
    kind: str
    subject: str
    content: bytes
    content_hash: bytes
    timed: bool
    proposed_at: datetime
    proposed_by: str
    proposed_person: str | None
    expires_at: datetime
    state: str
    decided_at: datetime | None
    decided_by: str | None
    decided_person: str | None
    reason: str | None
    ended_at: datetime | None
    result: dict[str, Any] | None


class New(Struct, frozen=True, kw_only=True):
    """A proposal to be made. `client` and `key`: under which it is known when it comes again."""

    kind: str
    subject: str
    content: bytes
    content_hash: bytes
    timed: bool
    client: str
    key: str
    proposed_by: str
    proposed_person: str | None


_STATE = "CASE WHEN status = 'open' AND expires_at <= now() THEN 'expired' ELSE status END"

_SELECT = f"""
SELECT id, kind, subject, content, content_hash, timed, proposed_at, proposed_by, proposed_person,
       expires_at, {_STATE} AS state, decided_at, decided_by, decided_person, reason, ended_at,
       result
FROM api.proposals WHERE """  # noqa: S608

_INSERT = """
INSERT INTO api.proposals (id, kind, subject, content, content_hash, timed, client, idempotency_key,
    proposed_by, proposed_person, expires_at)
SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now() + %s * interval '1 second'
WHERE (SELECT count(*) < %s AND count(*) FILTER (WHERE client = %s OR proposed_person = %s) < %s
       FROM api.proposals WHERE status = 'open' AND expires_at > now())
ON CONFLICT (client, idempotency_key) DO NOTHING
"""

_OPEN = """
SELECT count(*) FROM api.proposals WHERE status = 'open' AND expires_at > now()
"""

_DECIDE = """
UPDATE api.proposals SET status = %s, decided_at = now(), decided_by = %s, decided_person = %s,
    reason = %s
WHERE id = %s AND status = 'open' AND expires_at > now()
"""

_END = """
UPDATE api.proposals SET status = %s, ended_at = now(), result = %s
WHERE id = %s AND status = 'approved'
"""


async def insert(connection: Connection, new: New) -> Proposal:
    """Make the proposal, or find it when the same was made before. Raises Problem (409 conflict,
    429 too_many_own_proposals, 503 too_many_proposals)."""
    proposal_id = "pr-" + base64.b32encode(secrets.token_bytes(10)).decode().lower()
    await connection.execute(
        _INSERT,
        (
            *(proposal_id, new.kind, new.subject, new.content, new.content_hash, new.timed),
            *(new.client, new.key, new.proposed_by, new.proposed_person),
            *(EXPIRY_SECONDS, OPEN_MAX, new.client, new.proposed_person, OPEN_EACH_MAX),
        ),
    )
    found = await known(connection, new)
    if found is None:
        row = await (await connection.execute(_OPEN)).fetchone()
        if row is not None and row[0] < OPEN_MAX:
            raise Problem(
                429,
                "too_many_own_proposals",
                f"{OPEN_EACH_MAX} of your proposals wait already: let them be decided first.",
                headers={"Retry-After": "3600"},
            )
        raise Problem(
            503,
            "too_many_proposals",
            f"{OPEN_MAX} proposals wait already: let them be decided first.",
            headers={"Retry-After": "3600"},
        )
    return found


async def known(connection: Connection, new: New) -> Proposal | None:
    """The proposal made before under the same key, if any. Raises Problem (409 conflict)."""
    rows = await _read(connection, "client = %s AND idempotency_key = %s", (new.client, new.key))
    if rows and rows[0].content_hash != new.content_hash:
        raise Problem(
            409,
            "conflict",
            f"This Idempotency-Key is that of proposal {rows[0].id}, which says something else:"
            " take another key for another change.",
        )
    return rows[0] if rows else None


async def find(connection: Connection, proposal_id: str) -> Proposal:
    """One proposal. Raises Problem (404)."""
    rows = await _read(connection, "id = %s", (proposal_id,))
    if not rows:
        raise Problem(404, "no_such_proposal", "There is no such proposal: the list shows all.")
    return rows[0]


async def page(
    connection: Connection, state: str | None, limit: int, before: tuple[str, str] | None
) -> list[Proposal]:
    """At most `limit`, the newest first; `before`: the moment and id of the last one of the page
    before."""
    at, proposal_id = before if before is not None else ("infinity", "")
    return await _read(
        connection,
        f"(%s::text IS NULL OR {_STATE} = %s) AND (proposed_at, id) < (%s::timestamptz, %s)"
        " ORDER BY proposed_at DESC, id DESC LIMIT %s",
        (state, state, at, proposal_id, limit),
    )


async def approved(connection: Connection, limit: int) -> list[Proposal]:
    """Those that are approved and not carried out, oldest first."""
    return await _read(
        connection, "status = 'approved' ORDER BY proposed_at, id LIMIT %s", (limit,)
    )


async def decide(
    connection: Connection, proposal_id: str, status: str, by: str, person: str, reason: str | None
) -> bool:
    """Approve or reject; False when it no longer was open."""
    cursor = await connection.execute(_DECIDE, (status, by, person, reason, proposal_id))
    return cursor.rowcount == 1


async def end(
    connection: Connection, proposal_id: str, status: str, result: dict[str, Any]
) -> None:
    """Write how an approved proposal ended; nothing changes when another process did."""
    await connection.execute(_END, (status, Jsonb(result), proposal_id))


async def _read(connection: Connection, which: str, values: tuple[object, ...]) -> list[Proposal]:
    async with connection.cursor(row_factory=class_row(Proposal)) as cursor:
        await cursor.execute((_SELECT + which).encode(), values)
        return await cursor.fetchall()
