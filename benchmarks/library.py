"""The `eventsourcing` library's own PostgreSQL recorder, set up as one of its applications does."""

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict

from benchmarks.report import stopwatch


class Library:
    """A recorder with its table in the database of `url`."""

    def __init__(self, url: str) -> None:
        to = conninfo_to_dict(url)
        names = {"dbname": "DBNAME", "host": "HOST", "port": "PORT", "user": "USER"}
        settings = {f"POSTGRES_{name}": str(to[key]) for key, name in names.items()}
        settings["POSTGRES_PASSWORD"] = str(to.get("password", ""))
        settings["PERSISTENCE_MODULE"] = "eventsourcing.postgres"
        self._factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(
            Environment("benchmarks", settings)
        )
        self._recorder = self._factory.application_recorder()

    @staticmethod
    def events(rows: Sequence[tuple[Any, ...]]) -> list[StoredEvent]:
        """Rows of the log (all columns, in the order of the table) as the library stores events."""
        return [
            StoredEvent(account_id, version, kind, payload)
            for _, _, account_id, _, version, kind, _, _, _, payload, _ in rows
        ]

    def save(self, events: Sequence[StoredEvent], per_save: int) -> float:
        """Insert them, so many for each save; the seconds."""
        with stopwatch() as seconds:
            for start in range(0, len(events), per_save):
                self._recorder.insert_events(events[start : start + per_save])
        return seconds()

    def close(self) -> None:
        """Close its connections."""
        self._factory.close()
