"""The library's recorder interface over the sharded log: it selects, it never inserts.

An account's shard is not part of its id, so one index probe in each shard finds it; reading one
account for a person is not the hot path (that is `ledger.accounts`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

import psycopg
from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from psycopg.rows import TupleRow
from typing_extensions import override

from ledger.core import snapshot
from ledger.errors import ClosedDoor

SNAPSHOT_TOPIC = "snapshot"
"""The topic of stored snapshots; event topics are the names of decision types."""

VERSION_MAX = 2**31 - 1
"""Largest version of an account: PostgreSQL's integer."""

_EVENTS = {
    False: "SELECT version, type, payload, member_id FROM ledger.events WHERE shard = ANY(%s)"
    " AND account_id = %s AND version > %s AND version <= %s ORDER BY version LIMIT %s",
    True: "SELECT version, type, payload, member_id FROM ledger.events WHERE shard = ANY(%s)"
    " AND account_id = %s AND version > %s AND version <= %s ORDER BY version DESC LIMIT %s",
}
_SNAPSHOTS = (
    "SELECT version, state FROM ledger.snapshots WHERE shard = ANY(%s) AND account_id = %s"
    " AND version > %s AND version <= %s AND schema_hash = %s"
)


@dataclass(frozen=True)
class StoredRow(StoredEvent):
    """A stored event with the member it belongs to."""

    member_id: str


class EventsRecorder(ApplicationRecorder):
    """APPLICATION_RECORDER_TOPIC: reads the log."""

    def __init__(self, connect: Callable[[], psycopg.Connection[TupleRow]]) -> None:
        self._connect = connect
        self._shards: list[int] | None = None

    def shards(self) -> list[int]:
        """All shards of members (fixed when the ledger was created)."""
        if self._shards is None:
            row = self._connect().execute("SELECT shards FROM ledger.ledger").fetchone()
            self._shards = list(range(row[0])) if row is not None else []
        return self._shards

    @override
    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The account's events after version `gt` up to `lte`."""
        assert isinstance(originator_id, UUID)
        rows = self._connect().execute(
            _EVENTS[desc], (self.shards(), originator_id, gt or 0, _or_max(lte), limit)
        )
        return [
            StoredRow(originator_id, version, type_name, payload, member_id)
            for version, type_name, payload, member_id in rows
        ]

    @override
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> NoReturn:
        """Closed. Raises ClosedDoor."""
        raise ClosedDoor("Nothing is inserted here: give the input to Ledger.handle().")

    @override
    def select_notifications(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Closed. Raises ClosedDoor."""
        raise ClosedDoor("There is no single notification log: read each shard by position.")

    @override
    def max_notification_id(self) -> NoReturn:
        """Closed. Raises ClosedDoor."""
        raise ClosedDoor("There is no single notification log: read ledger.heads.")

    @override
    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> NoReturn:
        """Closed. Raises ClosedDoor."""
        raise ClosedDoor("Listen on the channel points_ledger and read each shard by position.")


class SnapshotsRecorder(EventsRecorder):
    """SNAPSHOTS_RECORDER_TOPIC: reads snapshots of this software's state, and no other."""

    @override
    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The account's snapshot, if it has one at a version after `gt` up to `lte`."""
        assert isinstance(originator_id, UUID)
        rows = self._connect().execute(
            _SNAPSHOTS,
            (self.shards(), originator_id, gt or 0, _or_max(lte), snapshot.SCHEMA_HASH),
        )
        return [
            StoredRow(originator_id, version, SNAPSHOT_TOPIC, state, "") for version, state in rows
        ]


def _or_max(version: int | None) -> int:
    return VERSION_MAX if version is None else version
