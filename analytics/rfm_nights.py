"""RFM bounds every day: worked out from the read model at an hour, recorded by the ledger's door.

Runs beside `points projections run`, in a thread with sessions of its own. What is due is asked of
the log, not of a clock's tick: a night that was missed is made up for when the process is back, and
of several processes one does it. What passes by itself is tried again at the next look. What nobody
foresaw ends the process, as a failed part of a worker does: bounds that silently stay those of last
month would be seen by nobody.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg

from ledger.application import Ledger
from ledger.core.calendar import from_instant, to_instant
from ledger.errors import LedgerError
from ledger.settings import Settings
from projections.connection import connect
from projections.errors import ProjectionError
from projections.rfm import compute_bounds
from schemas.decisions import RfmBoundsSet

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""Between two looks whether bounds are due: how late they may be."""

END_SECONDS = 30.0
"""How long the process waits at its end for bounds being recorded: a hundred times that."""

LOCK = 0x52464D42
"""Advisory lock of whoever works out bounds ("RFMB")."""

_KNOWN = """
SELECT time_zone, (SELECT max(as_of) FROM read.rfm_bounds), pg_try_advisory_lock(%s)
FROM read.program
"""

_NOT_YET = ("projections_behind", "no_purchases")
"""Codes of what will pass by itself."""


def latest(now: datetime, hour: int, zone: ZoneInfo) -> datetime:
    """The latest moment, not after `now`, at which the local clock showed the full hour `hour`."""
    day = now.astimezone(zone).date()
    for back in (0, 1):
        local = datetime.combine(day - timedelta(days=back), time(hour), tzinfo=zone)
        moment = local.astimezone(UTC)
        if moment <= now:
            return moment
    raise AssertionError("yesterday's hour has passed")


def refresh_if_due(settings: Settings, hour: int, now: datetime) -> RfmBoundsSet | None:
    """Record the bounds of the latest such hour, unless they or later ones are; None if nothing was
    due, or another process is at it. Raises ProjectionError (as `compute_bounds`), LedgerError."""
    with connect(settings.require_database_url()) as connection:
        row = connection.execute(_KNOWN, [LOCK]).fetchone()
        if row is None or not row[2]:
            return None
        at = latest(now, hour, ZoneInfo(row[0]))
        if row[1] is not None and row[1] >= at:
            return None
        event = compute_bounds(connection, to_instant(at))

        async def record() -> None:
            ledger = await Ledger.open(settings)
            try:
                await ledger.record_bounds(event)
            finally:
                await ledger.close()

        asyncio.run(record())
        _await_fold(connection, event)
    return event


def _await_fold(connection: psycopg.Connection, event: RfmBoundsSet) -> None:
    """Keep the lock until the read model has them: else another process would do them again."""
    until = datetime.now(UTC) + timedelta(seconds=END_SECONDS)
    pause = threading.Event()
    while datetime.now(UTC) < until:
        row = connection.execute("SELECT max(as_of) FROM read.rfm_bounds").fetchone()
        if row is not None and row[0] is not None and row[0] >= from_instant(event.as_of):
            return
        pause.wait(0.2)


class RfmNights:
    """The thread. `stop` ends it; `failure` says why it ended by itself, after `on_fail` was called
    from it."""

    def __init__(
        self, settings: Settings, hour: int, on_fail: Callable[[], None] = lambda: None
    ) -> None:
        self._settings = settings
        self._hour = hour
        self._on_fail = on_fail
        self.failure: LedgerError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rfm nights", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; bounds being recorded are waited for."""
        self._stopping.set()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                done = refresh_if_due(self._settings, self._hour, datetime.now(UTC))
                if done is not None:
                    log.info("RFM bounds recorded", extra={"members": done.members})
            except ProjectionError as error:
                level = logging.DEBUG if error.code in _NOT_YET else logging.WARNING
                log.log(level, "no RFM bounds yet", extra={"reason": error.message})
            except (LedgerError, psycopg.Error) as error:
                log.warning("no RFM bounds yet", extra={"reason": str(error).strip()})
            except Exception as error:
                log.exception("the work on RFM bounds failed")
                self.failure = LedgerError(
                    f"The work on RFM bounds failed ({error!r}): read the log, start again, and"
                    " report it. Read models can be folded without it: unset"
                    " POINTS_RFM_REFRESH_HOUR.",
                    "rfm_failed",
                )
                self._on_fail()
                return
            self._stopping.wait(LOOK_SECONDS)
