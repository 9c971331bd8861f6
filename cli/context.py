"""What the commands share: settings with the running services filled in, an open ledger, JSON.

Without POINTS_DATABASE_URL and POINTS_KAFKA_BOOTSTRAP the embedded services of the data folder are
used; a command never starts them by itself (only `points up` and `points demo` do).
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import SecretStr

from deploy import embedded
from deploy.embedded.state import read as read_state
from ledger.core.calendar import to_instant
from ledger.crash import arm
from ledger.errors import LedgerError, StartRefused
from ledger.settings import Settings, load_settings
from schemas.fields import Instant

T = TypeVar("T")


def own_services() -> bool:
    """True when the user named services of his own."""
    settings = load_settings()
    return settings.database_url is not None or settings.kafka_bootstrap is not None


def data_dir_of(data_dir: Path | None) -> Path:
    """The folder named on the command line, or the setting's."""
    return data_dir if data_dir is not None else load_settings().data_dir


def settings_of_services(*, kafka: bool = False, data_dir: Path | None = None) -> Settings:
    """The settings, with the running embedded services' addresses when none are set.

    Raises StartRefused when nothing runs, or when `kafka` is needed and only a database is set.
    """
    settings = load_settings()
    arm(settings.crash_at)
    if settings.database_url is None and settings.kafka_bootstrap is None:
        folder = data_dir_of(data_dir)
        seen = embedded.status(folder)
        if seen.services is not None:
            return with_services(settings, seen.services)
        if not kafka and seen.postgres.answering:  # a command that needs the database only
            url = read_state(seen.data_dir).database_url
            if url is not None:
                return settings.model_copy(
                    update={"database_url": SecretStr(url), "data_dir": seen.data_dir}
                )
        raise _no_services(folder, seen)
    if settings.database_url is None or (kafka and settings.kafka_bootstrap is None):
        missing = "DATABASE_URL" if settings.database_url is None else "KAFKA_BOOTSTRAP"
        raise StartRefused(
            f"Only one of your own services is named: set POINTS_{missing} too.", "half_set"
        )
    return settings


def _no_services(folder: Path, seen: embedded.ServicesStatus) -> StartRefused:
    dead = [
        name
        for name, one in (("PostgreSQL", seen.postgres), ("Kafka", seen.kafka))
        if not one.answering
    ]
    which = "No services run" if len(dead) == 2 else f"{' and '.join(dead)} does not answer"
    return StartRefused(
        f"{which} in {folder}: start them with `points up`, or name the folder in which they run"
        " with POINTS_DATA_DIR (or set POINTS_DATABASE_URL and POINTS_KAFKA_BOOTSTRAP for your"
        " own).",
        "no_services",
    )


def with_services(settings: Settings, services: embedded.Services) -> Settings:
    """The settings, pointed at these services."""
    return settings.model_copy(
        update={
            "database_url": SecretStr(services.database_url),
            "kafka_bootstrap": services.kafka_bootstrap,
            "data_dir": services.data_dir,
        }
    )


@asynccontextmanager
async def open_ledger(settings: Settings | None = None) -> AsyncIterator[Any]:
    """An open `ledger.application.Ledger`, closed at the end."""
    from ledger.application import Ledger  # imported late: `points --help` stays quick

    ledger = await Ledger.open(settings if settings is not None else settings_of_services())
    try:
        yield ledger
    finally:
        await ledger.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run async work to its end; Ctrl-C cancels it in order."""
    return asyncio.run(work)


def print_json(value: Any) -> None:
    """One JSON object on standard output, with a line end."""
    sys.stdout.buffer.write(
        orjson.dumps(value, default=_plain, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2)
    )
    sys.stdout.buffer.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def parse_moment(text: str | None, option: str = "--at") -> Instant:
    """An RFC 3339 moment; None is now. Raises LedgerError `bad_time`."""
    if text is None:
        return to_instant(datetime.now(UTC))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise LedgerError(
            f"{option} {text!r} is not a moment with an offset;"
            " write for instance 2018-01-15T00:00:00Z.",
            "bad_time",
        )
    return to_instant(moment)
