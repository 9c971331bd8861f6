"""What is due to be sent, and what is written down of an attempt.

A member's deliveries to a subscription go one after the other: only the first has a `due_at`. When
it is taken (or given up) the next gets one, in the same transaction. There is one deliverer, and
whoever else changes deliveries locks the subscription's row first, so none is forgotten.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection

from api.webhooks.attempts import Attempt, Ended
from api.webhooks.schedule import DEAD_SECONDS, DONE_KEEP_DAYS, FAILED_KEEP_DAYS, pause_after

PURGED_AT_ONCE = 1_000
"""Rows deleted in one transaction: some 10 ms."""


class Due(NamedTuple):
    """A delivery that may be sent now."""

    subscription_id: str
    member_id: str | None
    retries: int
    attempt: Attempt


class Paused(NamedTuple):
    """A subscription that was paused by what its endpoint answered. `because`: gone or dead."""

    subscription_id: str
    because: str


_DUE = (
    "SELECT d.subscription_id, d.member_id, d.retries, d.id, s.url, d.body, s.secret,"
    " CASE WHEN s.former_until > now() THEN s.former_secret END"
    " FROM api.subscriptions s CROSS JOIN LATERAL ("
    "  SELECT * FROM api.deliveries d WHERE d.subscription_id = s.id AND d.status = 'waiting'"
    "  AND d.due_at <= now() AND d.id <> ALL(%s) ORDER BY d.due_at, d.number LIMIT %s) AS d"
    " WHERE s.status = 'active' AND s.id <> ALL(%s) ORDER BY d.due_at, d.number"
)


def due(
    connection: Connection[Any], under_way: Sequence[str], each: int, resting: Sequence[str] = ()
) -> list[Due]:
    """At most `each` of every active subscription but the resting ones, without those that are
    under way."""
    rows = connection.execute(_DUE, [list(under_way), each, list(resting)])
    return [
        Due(
            subscription_id,
            member_id,
            retries,
            Attempt(id_, url, bytes(body), tuple(bytes(s) for s in secrets if s is not None)),
        )
        for subscription_id, member_id, retries, id_, url, body, *secrets in rows
    ]


def store(connection: Connection[Any], ended: Sequence[tuple[Due, Ended]]) -> list[Paused]:
    """Write down how attempts ended; which subscriptions are paused for it."""
    with connection.transaction():
        rows = connection.execute(
            "SELECT id, failures, failing_since, status, now() FROM api.subscriptions"
            " WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            [list({due.subscription_id for due, _ in ended})],
        ).fetchall()
        if not rows:  # removed meanwhile
            return []
        now: datetime = rows[0][4]
        freed: list[Due] = []
        with connection.pipeline():
            for delivery, end in ended:
                if _write(connection, delivery, end, now):
                    freed.append(delivery)
        _release(connection, freed)
        paused = []
        for id_, failures, failing_since, status, _ in rows:
            own = [(d, end) for d, end in ended if d.subscription_id == id_]
            over = sum(d.subscription_id == id_ for d in freed)
            because = _health(connection, id_, own, failures, failing_since, over, now)
            if because is not None and status == "active":
                _pause(connection, id_, because)
                paused.append(Paused(id_, because))
        return paused


def _write(connection: Connection[Any], delivery: Due, end: Ended, now: datetime) -> bool:
    """The delivery's row; whether it is over."""
    if end.outcome == "done":
        status, due_at, retries = "done", None, delivery.retries
    else:
        retries = delivery.retries + 1
        pause = pause_after(retries, end.asked)
        if end.outcome == "gone":  # tried again when somebody says that it is there again
            status, due_at = "waiting", now
        elif pause is None:
            status, due_at = "failed", None
        else:
            status, due_at = "waiting", now + timedelta(seconds=pause)
    connection.execute(
        "UPDATE api.deliveries SET status = %s, due_at = %s, retries = %s,"
        " attempts = attempts + 1, attempted_at = now(), answer_status = %s, answer = %s,"
        " error = %s, milliseconds = %s,"
        " ended_at = CASE WHEN %s THEN NULL::timestamptz ELSE now() END WHERE id = %s",
        [
            status,
            due_at,
            retries,
            end.status,
            end.answer,
            end.error,
            round(end.seconds * 1_000),
            status == "waiting",
            delivery.attempt.id,
        ],
    )
    return status != "waiting"


def _release(connection: Connection[Any], freed: Sequence[Due]) -> None:
    """Let the next one go of each of these members of whom none may be sent now."""
    places = list({(d.subscription_id, d.member_id) for d in freed if d.member_id is not None})
    if not places:
        return
    connection.execute(
        "UPDATE api.deliveries AS d SET due_at = now()"
        " FROM unnest(%s::text[], %s::text[]) AS f (subscription_id, member_id)"
        " CROSS JOIN LATERAL (SELECT min(w.number) AS number, count(w.due_at) AS ready"
        "  FROM api.deliveries w WHERE w.subscription_id = f.subscription_id"
        "  AND w.member_id = f.member_id AND w.status = 'waiting') AS next"
        " WHERE d.number = next.number AND next.ready = 0",
        [list(column) for column in zip(*places, strict=True)],
    )


def _health(
    connection: Connection[Any],
    id_: str,
    ended: Sequence[tuple[Due, Ended]],
    failures: int,
    failing_since: datetime | None,
    over: int,
    now: datetime,
) -> str | None:
    """Count failures in a row; why the subscription is to be paused, if it is."""
    succeeded = False
    because = None
    for _, end in ended:
        if end.outcome == "done":
            failures, failing_since, succeeded, because = 0, None, True, None
            continue
        failures += 1
        failing_since = failing_since or now
        if end.outcome == "gone":
            because = "gone"
        elif now - failing_since >= timedelta(seconds=DEAD_SECONDS):
            because = because or "dead"
    connection.execute(
        "UPDATE api.subscriptions SET failures = %s, failing_since = %s, waiting = waiting - %s,"
        " succeeded_at = CASE WHEN %s THEN now() ELSE succeeded_at END WHERE id = %s",
        [failures, failing_since, over, succeeded, id_],
    )
    return because


def _pause(connection: Connection[Any], id_: str, because: str) -> None:
    connection.execute(
        "UPDATE api.subscriptions SET status = 'paused', paused_because = %s, paused_at = now()"
        " WHERE id = %s",
        [because, id_],
    )


_PURGE = (
    "DELETE FROM api.deliveries WHERE id IN (SELECT id FROM api.deliveries WHERE status = %s"
    " AND ended_at < now() - make_interval(days => %s) ORDER BY ended_at LIMIT %s)"
    " AND status = %s"  # asked again of a row that is being repeated at this moment
)


def purge(connection: Connection[Any]) -> int:
    """Delete what was kept long enough, and what removed subscriptions have left; how many rows.
    PURGED_AT_ONCE or more: there may be more."""
    purged = 0
    for status, days in (("done", DONE_KEEP_DAYS), ("failed", FAILED_KEEP_DAYS)):
        purged += connection.execute(_PURGE, [status, days, PURGED_AT_ONCE, status]).rowcount
    left = connection.execute(
        "DELETE FROM api.deliveries WHERE id IN (SELECT d.id FROM api.subscriptions s"
        " JOIN api.deliveries d ON d.subscription_id = s.id WHERE s.status = 'deleted' LIMIT %s)",
        [PURGED_AT_ONCE],
    ).rowcount
    if left < PURGED_AT_ONCE:
        connection.execute(
            "DELETE FROM api.subscriptions s WHERE status = 'deleted' AND NOT EXISTS"
            " (SELECT 1 FROM api.deliveries d WHERE d.subscription_id = s.id)"
        )
    return purged + left


class Figures(NamedTuple):
    """For the metrics: subscriptions by status, what waits, and the most that one is behind."""

    subscriptions: dict[str, int]
    waiting: int
    behind: int


def figures(connection: Connection[Any]) -> Figures:
    """How things stand."""
    rows = connection.execute(
        "SELECT status, count(*), sum(waiting) FROM api.subscriptions"
        " WHERE status <> 'deleted' GROUP BY status"
    ).fetchall()
    row = connection.execute(
        "SELECT coalesce(max(behind), 0)::bigint FROM (SELECT sum(h.position - p.position)"
        " AS behind FROM api.subscription_positions p JOIN ledger.heads h USING (shard)"
        " JOIN api.subscriptions s ON s.id = p.subscription_id WHERE s.status = 'active'"
        " GROUP BY p.subscription_id) AS lags"
    ).fetchone()
    assert row is not None
    found = {"active": 0, "paused": 0} | {status: count for status, count, _ in rows}
    return Figures(found, sum(int(waiting) for *_, waiting in rows), row[0])
