"""Which Kafka feeds this ledger: recorded by the first worker, asked of every later one.

Two installations that are pointed at one database would put two businesses into one ledger, or read
the same input side by side. A change is said by a person (`points kafka adopt`), never guessed.
"""

from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from ledger.database import CONNECT_SECONDS, unreachable
from ledger.errors import StartRefused
from ledger.identity import check_session
from ledger.lookups import Connection

_CLAIM = (
    'INSERT INTO ledger.feed (cluster_id, "group") VALUES (%s, %s) ON CONFLICT (one) DO NOTHING'
)
_FEED = 'SELECT cluster_id, "group" FROM ledger.feed'
_LEARN = "UPDATE ledger.feed SET cluster_id = %s WHERE cluster_id IS NULL"
_ADOPT = (
    'INSERT INTO ledger.feed (cluster_id, "group") VALUES (%s, %s) ON CONFLICT (one) DO UPDATE'
    ' SET cluster_id = EXCLUDED.cluster_id, "group" = EXCLUDED."group", recorded_at = now()'
)


class Feed(NamedTuple):
    """A Kafka cluster (None: its brokers do not tell its id) and the workers' consumer group."""

    cluster_id: str | None
    group: str


async def claim(connection: Connection, feed: Feed) -> None:
    """Record the feed of a ledger that has none, or compare. Raises StartRefused (other_kafka,
    other_group)."""
    await connection.execute(_CLAIM, feed)
    row = await (await connection.execute(_FEED)).fetchone()
    assert row is not None
    recorded = Feed(*row)
    if recorded.group != feed.group:
        raise StartRefused(
            f"The workers of this ledger are the group {recorded.group}, but POINTS_GROUP is"
            f" {feed.group}: two installations must not share a database. Correct"
            " POINTS_DATABASE_URL or POINTS_GROUP; if the group was renamed, stop all workers and"
            " run `points kafka adopt`.",
            "other_group",
        )
    if recorded.cluster_id is None and feed.cluster_id is not None:
        await connection.execute(_LEARN, (feed.cluster_id,))
        row = await (await connection.execute(_FEED)).fetchone()
        assert row is not None
        recorded = Feed(*row)  # another worker may have been quicker, with another cluster
    if feed.cluster_id not in (None, recorded.cluster_id):
        raise StartRefused(
            f"This ledger is fed by the Kafka cluster {recorded.cluster_id}, but"
            f" POINTS_KAFKA_BOOTSTRAP leads to {feed.cluster_id}: two installations must not share"
            " a database. Correct POINTS_DATABASE_URL or POINTS_KAFKA_BOOTSTRAP; if the input"
            " moved to another cluster, stop all workers and run `points kafka adopt`.",
            "other_kafka",
        )


def recorded_feed(database_url: str) -> Feed | None:
    """The feed on record. Raises StartRefused (no_connection, no_ledger, older_schema,
    newer_schema)."""
    with _connect(database_url) as connection:
        check_session(connection)
        row = connection.execute(_FEED).fetchone()
    return None if row is None else Feed(*row)


def adopt(database_url: str, feed: Feed) -> int:
    """Make this the ledger's feed, to be read from the beginning of its topics: what was taken
    before is then a duplicate. Returns how many stored offsets were forgotten; a worker that still
    runs on them stops. Raises StartRefused, as `recorded_feed`, and not_the_owner."""
    with _connect(database_url) as connection:
        check_session(connection)
        try:
            connection.execute(_ADOPT, feed)
            return connection.execute("DELETE FROM ledger.stream_positions").rowcount
        except psycopg.errors.InsufficientPrivilege as error:
            raise StartRefused(
                "This login may not forget stored offsets: run it under the one that owns the"
                " tables, like `points migrate`.",
                "not_the_owner",
            ) from error


def _connect(database_url: str) -> psycopg.Connection[TupleRow]:
    try:
        return psycopg.connect(database_url, connect_timeout=CONNECT_SECONDS)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise unreachable(error) from error
