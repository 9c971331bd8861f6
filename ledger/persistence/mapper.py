"""From envelopes to stored events and back: type name and msgspec payload, nothing else.

For who reads through the library. The append encodes events with the same `encode_event` and packs
them itself, without an envelope (docs/decisions/0011-a-fast-append.md).
"""

from typing import Any
from uuid import UUID

from eventsourcing.persistence import Mapper as LibraryMapper
from eventsourcing.persistence import StoredEvent

from ledger.aggregate import AccountSnapshot, Recorded
from ledger.core import snapshot
from ledger.core.calendar import from_instant
from ledger.persistence.recorders import SNAPSHOT_TOPIC, StoredRow
from schemas.log_events import decode_event, encode_event


class Mapper(LibraryMapper[UUID]):
    """MAPPER_TOPIC of the eventsourcing library."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """The stored form of an envelope."""
        payload = domain_event.payload
        return StoredEvent(
            domain_event.originator_id,
            domain_event.originator_version,
            type(payload).__name__,
            encode_event(payload),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """The envelope of a stored event, or of a snapshot."""
        originator_id = stored_event.originator_id
        assert isinstance(originator_id, UUID)
        assert isinstance(stored_event, StoredRow)
        if stored_event.topic == SNAPSHOT_TOPIC:
            account = snapshot.decode(stored_event.state)
            return AccountSnapshot(
                originator_id=originator_id,
                originator_version=stored_event.originator_version,
                timestamp=from_instant(max(account.settled_to, 0)),
                account=account,
            )
        payload = decode_event(stored_event.state)
        return Recorded(
            originator_id=originator_id,
            originator_version=stored_event.originator_version,
            timestamp=from_instant(payload.occurred_at),
            member_id=stored_event.member_id,
            payload=payload,
        )
