"""The versions of each account of a shard: 1, 2, 3 … in the order of the positions.

Asked of the database, which sorts on its disk what does not fit into its memory.
"""

from psycopg import Connection

from audit.findings import RESTORE, Finding

_WRONG = """
SELECT position, member_id, version, expected FROM (
    SELECT position, member_id, version,
           row_number() OVER (PARTITION BY account_id ORDER BY position) AS expected
    FROM ledger.events WHERE shard = %s
) AS numbered
WHERE version <> expected ORDER BY position LIMIT 1
"""


def check_versions(connection: Connection, shard: int) -> Finding | None:
    """The first position whose version does not follow that of the event before."""
    row = connection.execute(_WRONG, (shard,)).fetchone()
    if row is None:
        return None
    position, member_id, version, expected = row
    return Finding(
        "version_gap",
        shard,
        f"this is event {expected} of the account of {member_id}, but its version is {version}",
        RESTORE,
        position,
    )
