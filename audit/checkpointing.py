"""The next checkpoint of a folder: once, or whenever one is due.

When one is due follows from the newest of the folder, so that a restart makes none early and a
night missed is made up for at once. One that fails is told of in the log and tried again.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog

from audit import checkpoint as checkpoints
from audit.keys import read_private
from audit.plan import plan_of
from audit.publish import publish
from audit.restores import declared
from audit.session import connect, one_moment
from ledger.core.calendar import parse_instant, to_instant
from ledger.errors import LedgerError
from ledger.identity import check_session

AGAIN_SECONDS = 300.0
"""After a checkpoint that failed it is tried again: long enough for a restart of what it needs, and
a log that is damaged is told of some hundred times a day."""

WAIT_SECONDS_MAX = 60.0
"""Of one wait: the machine's clock may be set meanwhile."""

log = structlog.get_logger(__name__)


class Made(NamedTuple):
    """A checkpoint that was made: `events` under it, and how many of the folder were published."""

    number: int
    hash: str
    path: Path
    shards: int
    events: int
    published: int


def make_next(database_url: str, bootstrap: str | None, key: Path, folder: Path) -> Made:
    """Sign all heads of this moment, put them into the folder and, with `bootstrap`, publish what
    the topic lacks. Raises AuditRefused, StartRefused, OSError, psycopg.OperationalError."""
    private = read_private(key)
    folder.mkdir(parents=True, exist_ok=True)
    before = checkpoints.read_all(folder) if _paths(folder) else []
    checkpoints.check_signatures(before[-1:], private.public_key())
    previous = before[-1][1].content if before else None
    with connect(database_url) as connection:
        check_session(connection)
        with one_moment(connection):
            plan = plan_of(connection, "", "", with_read_models=False)
            restored = previous is not None and checkpoints.hash_of(previous) in declared(
                connection
            )
            made = checkpoints.make(
                connection,
                private,
                (plan.ledger_id, plan.program_id),
                plan.heads,
                to_instant(datetime.now(UTC)),
                previous,
                restored=restored,
            )
    path = checkpoints.write(folder, made)
    published = 0
    if bootstrap is not None:
        published = asyncio.run(publish(bootstrap, [*before, (path, made)]))
    content = made.content
    return Made(
        content.number,
        checkpoints.hash_of(content),
        path,
        len(content.shards),
        sum(head.position for head in content.shards),
        published,
    )


def next_at(folder: Path, every_seconds: int) -> float:
    """When the next is due, in seconds since 1970; 0 for the first. Raises AuditRefused
    (bad_checkpoint)."""
    paths = _paths(folder)
    if not paths:
        return 0.0
    return parse_instant(checkpoints.read(paths[-1]).content.at) / 1_000_000 + every_seconds


def keep_making(
    make: Callable[[], Made],
    due: Callable[[], float],
    *,
    now: Callable[[], float] = time.time,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Make one whenever it is `due`; ends by what `wait` raises. When `make` or `due` raises, that
    is logged, and tried again."""
    while True:
        try:
            left = due() - now()
            if left <= 0:
                _tell(make())
                continue
            pause = min(left, WAIT_SECONDS_MAX)
        except LedgerError as error:
            log.error("checkpoint_failed", code=error.code, error=error.message)
            pause = AGAIN_SECONDS
        except OSError as error:
            log.error("checkpoint_failed", code="no_file", error=str(error))
            pause = AGAIN_SECONDS
        except Exception:  # whatever it is, those who earn and spend meanwhile are not to wait
            log.exception("checkpoint_failed", code="internal_error")
            pause = AGAIN_SECONDS
        wait(pause)


def _tell(made: Made) -> None:
    log.info(
        "checkpoint_made",
        number=made.number,
        file=str(made.path),
        events=made.events,
        published=made.published,
    )


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.json"))
