"""The account as an aggregate of the `eventsourcing` library.

A thin library event, `Recorded`, is the envelope around one decision: id, version and moment for
the library, the typed decision for us. `AccountAggregate` folds them with the same pure function as
everything else. Reading one account is `Accounts.repository.get`; appending is not possible here:
`save()` and the notification log raise, for the one door is `ledger.application.Ledger.handle`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NoReturn
from uuid import UUID

from eventsourcing.application import Application, LocalNotificationLog
from eventsourcing.domain import AggregateEvent
from typing_extensions import override

from ledger.core.account import Account
from ledger.core.fold import evolve
from ledger.errors import ClosedDoor
from schemas.decisions import LogEvent


@dataclass(frozen=True)
class Recorded(AggregateEvent):
    """A decision of the log. `timestamp` is its occurred_at: always given, never read from a
    clock."""

    member_id: str
    payload: LogEvent

    def mutate(self, aggregate: Any) -> "AccountAggregate":  # type: ignore[override]
        """Fold the decision. Raises AssertionError for a version that does not follow."""
        if aggregate is None:
            aggregate = AccountAggregate(self.originator_id, Account.new(self.member_id))
        assert isinstance(aggregate, AccountAggregate)
        assert aggregate.id == self.originator_id, "the event belongs to another account"
        assert aggregate.version + 1 == self.originator_version, "the version does not follow"
        evolve(aggregate.account, self.payload)  # type: ignore[arg-type]
        aggregate.modified_on = self.timestamp
        return aggregate


@dataclass(frozen=True)
class AccountSnapshot(AggregateEvent):
    """The state of an account at a version; the start of a fold instead of its first events."""

    account: Account

    def mutate(self, aggregate: Any) -> "AccountAggregate":  # type: ignore[override]
        """Begin with the snapshot's account."""
        assert aggregate is None, "a snapshot is where a fold begins"
        return AccountAggregate(self.originator_id, self.account)


class AccountAggregate:
    """What the library's repository returns: an account with its id."""

    def __init__(self, account_id: UUID, account: Account) -> None:
        self.id = account_id
        self.account = account
        self.created_on: datetime | None = None
        self.modified_on: datetime | None = None

    @property
    def version(self) -> int:
        """How many events the account has."""
        return self.account.version


class Accounts(Application[UUID]):
    """The library's application over our recorder, mapper and transcoder, for reading only."""

    name = "ledger"
    is_snapshotting_enabled = True
    env: ClassVar[dict[str, str]] = {
        "PERSISTENCE_MODULE": "ledger.persistence",
        "TRANSCODER_TOPIC": "ledger.persistence.transcoder:Transcoder",
        "MAPPER_TOPIC": "ledger.persistence.mapper:Mapper",
        "AGGREGATE_RECORDER_TOPIC": "ledger.persistence.recorders:EventsRecorder",
        "APPLICATION_RECORDER_TOPIC": "ledger.persistence.recorders:EventsRecorder",
        "SNAPSHOTS_RECORDER_TOPIC": "ledger.persistence.recorders:SnapshotsRecorder",
    }

    @override
    def save(self, *objs: Any, **kwargs: Any) -> NoReturn:
        """Closed. Raises ClosedDoor."""
        raise ClosedDoor("Nothing is saved here: give the input to Ledger.handle().")

    @override
    def take_snapshot(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Closed: snapshots are written by the append. Raises ClosedDoor."""
        raise ClosedDoor("Snapshots are taken by Ledger.handle(), in the append.")

    def construct_notification_log(self) -> LocalNotificationLog:
        """None is made; see `notification_log`."""
        return None  # type: ignore[return-value]

    @property
    def notification_log(self) -> LocalNotificationLog:
        """Closed. Raises ClosedDoor."""
        raise ClosedDoor("There is no single notification log: read each shard by position.")
