"""Where a measurement runs: real services in a temporary folder, databases, and processes.

The services start when the first measurement asks for them. Whatever ends a run (also Ctrl-C), the
processes are stopped first, then the services are removed with all their data.
"""

import gc
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.shoppers import program
from demo.children import Child
from deploy import embedded
from ledger.create import create_ledger
from ledger.migrate import migrate

Progress = Callable[[str], None]

SHARDS = 32
"""Of every ledger measured: the settings' default."""

RUN_SECONDS_MAX = 180.0
"""Longest that one run may take: some times the slowest on two busy processors."""

_CREATE = "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY"
"""As files: a copy through the WAL would fill the disk that is measured next."""


class Stage:
    """One run of the benchmarks. `scale`: of all sizes, 1 is the full size. `sets`: what lies in
    Kafka, by name (`benchmarks.sets`); `pipelines`: what the worker made of each
    (`benchmarks.runs`)."""

    def __init__(self, folder: Path, scale: float, progress: Progress) -> None:
        self.scale = scale
        self.progress = progress
        self.folder = folder
        self._services: embedded.Services | None = None
        self._children: list[Child] = []
        self.sets: dict[str, Any] = {}
        self.pipelines: dict[str, Any] = {}
        self.run_seconds = RUN_SECONDS_MAX

    @property
    def services(self) -> embedded.Services:
        """PostgreSQL and Kafka, running."""
        if self._services is None:
            self._services = embedded.start(self.folder / "services", progress=self.progress)
        return self._services

    @property
    def bootstrap(self) -> str:
        """Kafka's servers."""
        return self.services.kafka_bootstrap

    def sized(self, full: int, least: int = 1) -> int:
        """A full size scaled, but at least `least`."""
        return max(least, round(full * self.scale))

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"{self.services.database_url.rpartition('/')[0]}/{database}"

    def ledger(self, database: str) -> str:
        """The URL of a new database that holds an empty ledger of the demo's program."""
        self.database(database)
        migrate(self.url(database))
        create_ledger(self.url(database), program(), SHARDS)
        return self.url(database)

    def database(self, database: str, source: str = "template1") -> str:
        """The URL of a new database, a copy of `source`, which nobody may be using."""
        self._admin(_CREATE, database, source)
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, in use or not."""
        self._admin("DROP DATABASE {} WITH (FORCE)", database)

    def exists(self, database: str) -> bool:
        """Whether there is such a database."""
        with psycopg.connect(self.services.database_url) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            return found.fetchone() is not None

    def checkpoint(self) -> None:
        """Write everything to disk now, so that what is measured next does not pay for it."""
        with psycopg.connect(self.services.database_url, autocommit=True) as admin:
            admin.execute("CHECKPOINT")

    def child(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        module: str = "cli.main",
    ) -> Child:
        """Start `python -m module arguments`; it does not outlive the stage."""
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{len(self._children):03}-{name}.log"
        child = Child(name, arguments, log, environment, module)
        self._children.append(child)
        return child

    def _admin(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.services.database_url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def close(self) -> None:
        """Stop the processes; remove the services and their data."""
        for child in self._children:
            child.kill()
        embedded.remove(self.folder / "services", progress=self.progress)


@contextmanager
def staged(scale: float, progress: Progress) -> Iterator[Stage]:
    """A stage for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="points-benchmarks-") as folder:
        stage = Stage(Path(folder), scale, progress)
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
