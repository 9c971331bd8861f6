"""Where a measurement runs: real services in a temporary folder, and databases with a fresh ledger.

The services start when the first measurement asks for them and are removed with all their data at
the end, whatever ends it. A ledger's process sets Python's collector as the worker does.
"""

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.shoppers import program
from deploy import embedded
from ledger.create import create_ledger
from ledger.migrate import migrate

Progress = Callable[[str], None]


class Stage:
    """The services of one run of the benchmarks. `scale`: of all sizes, 1 is the full size."""

    def __init__(self, folder: Path, scale: float, progress: Progress) -> None:
        self.scale = scale
        self.progress = progress
        self._folder = folder
        self._services: embedded.Services | None = None

    @property
    def services(self) -> embedded.Services:
        """PostgreSQL and Kafka, running."""
        if self._services is None:
            self._services = embedded.start(self._folder, progress=self.progress)
        return self._services

    def sized(self, full: int, least: int = 1) -> int:
        """A full size scaled, but at least `least`."""
        return max(least, round(full * self.scale))

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"{self.services.database_url.rpartition('/')[0]}/{database}"

    def ledger(self, database: str, shards: int) -> str:
        """The URL of a new database that holds an empty ledger of the demo's program."""
        self._create(database, None)
        migrate(self.url(database))
        create_ledger(self.url(database), program(), shards)
        return self.url(database)

    def copy(self, database: str, source: str) -> str:
        """The URL of a new database that is a copy of `source`, which nobody may be using."""
        self._create(database, source)
        return self.url(database)

    def exists(self, database: str) -> bool:
        """Whether there is such a database."""
        with psycopg.connect(self.services.database_url) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            return found.fetchone() is not None

    def _create(self, database: str, template: str | None) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(database), sql.Identifier(template or "template1")
        )
        with psycopg.connect(self.services.database_url, autocommit=True) as admin:
            admin.execute(statement)

    def close(self) -> None:
        """Remove the services and their data."""
        if self._services is not None:
            embedded.remove(self._folder, progress=self.progress)


@contextmanager
def staged(scale: float, progress: Progress) -> Iterator[Stage]:
    """A stage for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="points-benchmarks-") as folder:
        stage = Stage(Path(folder) / "services", scale, progress)
        try:
            yield stage
        finally:
            stage.close()


@contextmanager
def collecting_as_the_worker() -> Iterator[None]:
    """Python's collector with the worker's thresholds, for the length of a block."""
    # Imported here: Faust takes a second, and not every benchmark needs it.
    from streams.worker import GC_THRESHOLDS

    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
