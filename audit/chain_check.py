"""Follow a shard's chain, and say in what way it is broken where it is.

A hash that does not follow says only that something before it is not what was appended. What was
done is told by trying: whether the next row still continues the old hash (this row was changed), or
whether a row from further on belongs here (rows were exchanged, or one was put in).
"""

from hashlib import sha256

from psycopg import Connection

from audit.findings import RESTORE, Finding
from audit.rows import body_of, put_at, rows
from ledger.chain import COLUMNS, Link
from ledger.errors import ChainBroken

LOOK_AHEAD = 1_000
"""Rows after the first wrong one among which the one that belongs there is looked for."""


def broken(connection: Connection, link: Link, row: bytes, error: ChainBroken) -> Finding:
    """The finding for a row that does not follow `link`."""
    expected = link.position + 1
    told = error.difference
    code = "row_changed"
    if "next row has position" in told:
        found = int(told.rpartition(" ")[2])
        code = "row_missing"
        told = f"this row is missing: the next one has position {found}"
    elif "steps back" in told:
        code = "time_back"
        told = "recorded_at is before that of the row before"
    elif "hash does not follow" in told:
        code, told = _diagnosed(connection, link, row)
    return Finding(code, link.shard, told, RESTORE, expected)


def _diagnosed(connection: Connection, link: Link, row: bytes) -> tuple[str, str]:
    first = link.position + 1
    after = list(rows(connection, link.shard, first, first + LOOK_AHEAD))
    stored = {row[-32:], *(other[-32:] for other in after)}
    for number, other in enumerate(after, first + 1):
        here = sha256(link.hash + put_at(body_of(other), first)).digest()
        if here not in stored:
            continue
        before = here if number == first + 1 else after[number - first - 2][-32:]
        if sha256(before + put_at(body_of(row), number)).digest() in (row[-32:], other[-32:]):
            return (
                "rows_exchanged",
                (
                    f"this row and the one at position {number} were exchanged: each is in the"
                    " other's place"
                ),
            )
        return (
            "row_added",
            f"this row was put in: the one that belongs here is at position {number}",
        )
    if after and sha256(row[-32:] + body_of(after[0])).digest() == after[0][-32:]:
        return (
            "row_changed",
            (
                "this row was changed after it was recorded: the next row continues its hash, but"
                f" its columns ({', '.join(COLUMNS[2:])}) do not give that hash"
            ),
        )
    return (
        "row_changed",
        "the hash of this row does not follow from the row before it and its own columns",
    )
