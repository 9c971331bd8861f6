"""The library's infrastructure factory, constructed from PERSISTENCE_MODULE=ledger.persistence.

Reads DATABASE_URL from the application's environment and opens one connection when first asked.
"""

from typing import Any, NoReturn

import psycopg
from eventsourcing.persistence import InfrastructureFactory, TrackingRecorder
from eventsourcing.utils import resolve_topic
from psycopg.rows import TupleRow
from typing_extensions import override

from ledger.database import APP_ROLE, CONNECT_SECONDS
from ledger.errors import ClosedDoor
from ledger.persistence.recorders import EventsRecorder


class Factory(InfrastructureFactory[TrackingRecorder]):
    """Recorders that read; tracking and processing do not exist."""

    _connection: psycopg.Connection[TupleRow] | None = None

    def connection(self) -> psycopg.Connection[TupleRow]:
        """The one connection, under the application's role."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self.env.get("DATABASE_URL", ""),
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="points",
            )
            self._connection.execute("SELECT set_config('role', %s, false)", (APP_ROLE,))
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def aggregate_recorder(self, purpose: str = "events") -> EventsRecorder:
        """The recorder of `events` or of `snapshots`."""
        name = "SNAPSHOTS" if purpose == "snapshots" else "AGGREGATE"
        return self._recorder(f"{name}_RECORDER_TOPIC")

    def application_recorder(self) -> EventsRecorder:
        """The recorder of events."""
        return self._recorder("APPLICATION_RECORDER_TOPIC")

    @override
    def tracking_recorder(self, tracking_recorder_class: Any = None) -> NoReturn:
        """Closed. Raises ClosedDoor."""
        raise ClosedDoor("Projections keep their positions in their own tables, by shard.")

    def process_recorder(self) -> NoReturn:
        """Closed. Raises ClosedDoor."""
        raise ClosedDoor("Effects travel as events of a topic: see streams/.")

    def _recorder(self, topic: str) -> EventsRecorder:
        recorder_class: type[EventsRecorder] = resolve_topic(self.env.get(topic, ""))
        return recorder_class(self.connection)
