"""RFM bounds over all members: worked out from the read model, recorded by the ledger's door.

The bounds are quintiles of recency, frequency and monetary value over every member who had bought
by the moment asked for. They count only once the event that carries them is in the log, so that a
refold gives the same segments: a projection never uses bounds that are not recorded.
"""

from datetime import UTC, datetime

from psycopg import Connection

from ledger.core.calendar import format_instant, from_instant
from projections.errors import ProjectionError
from projections.queries import standings
from schemas.decisions import RfmBoundsSet
from schemas.fields import Instant


def compute_bounds(connection: Connection, at: Instant) -> RfmBoundsSet:
    """The event that records the bounds as of `at`; append it by `Ledger.record_bounds`.

    Raises ProjectionError: `future_moment`, `projections_behind`, `no_purchases`.
    """
    if from_instant(at) > (now := datetime.now(UTC)):
        raise ProjectionError(
            "future_moment",
            f"{format_instant(at)} has not come yet (it is {now:%Y-%m-%dT%H:%M:%SZ}), and bounds "
            "once recorded stay; choose a moment of the past",
        )
    behind = sum(s.behind for s in standings(connection) if s.projection == "segments")
    if behind:
        raise ProjectionError(
            "projections_behind",
            f"the segments are {behind} events behind the log; run `points projections run "
            "--until-caught-up` first",
        )
    row = connection.execute(
        "SELECT members, recency_days, frequency, monetary FROM read.rfm_bounds_as_of(%s)",
        [from_instant(at)],
    ).fetchone()
    if row is None or not row[0]:
        raise ProjectionError(
            "no_purchases",
            f"nobody had bought anything by {from_instant(at).isoformat()}; choose a later moment",
        )
    members, recency, frequency, monetary = row
    return RfmBoundsSet(
        occurred_at=at,
        as_of=at,
        members=members,
        recency_days=tuple(recency),
        frequency=tuple(frequency),
        monetary=tuple(monetary),
    )
