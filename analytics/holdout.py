"""Hold-out groups: who is left out of a campaign, chosen by a hash, so the same whoever asks."""

from hashlib import sha256

from psycopg import Connection

SHARES = 10_000
"""A hold-out group is so many ten-thousandths of the members."""


def in_holdout(campaign: str, member_id: str, percent: float) -> bool:
    """Whether the member is of the hold-out group of that share: by a hash of both names, so the
    same for whoever asks, and another group for each campaign."""
    digest = sha256(f"{campaign}/{member_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % SHARES < round(percent * SHARES / 100)


def members(connection: Connection) -> list[str]:
    """All members with an account that is not merged, by id."""
    rows = connection.execute(
        "SELECT member_id FROM read.accounts WHERE status <> 'merged' ORDER BY member_id"
    ).fetchall()
    return [row[0] for row in rows]


def members_after(connection: Connection, after: str, limit: int) -> list[str]:
    """The next of them, by id."""
    rows = connection.execute(
        "SELECT member_id FROM read.accounts WHERE status <> 'merged' AND member_id > %s"
        " ORDER BY member_id LIMIT %s",
        [after, limit],
    ).fetchall()
    return [row[0] for row in rows]
