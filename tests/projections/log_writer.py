"""A log to fold, written by the ledger's own decisions and no worker: quick to make, in any order.

Events are decided by the pure core and stored as the recorder stores them, except for the hash
chain, which projections do not look at. A ledger that opens compares the
last row's with the head's.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import psycopg

from ledger.accounts import account_id_of
from ledger.core.account import Account
from ledger.core.calendar import from_instant, to_instant
from ledger.core.decide import decide
from ledger.core.pairs import decide_pair
from ledger.core.program.canonical import canonical, version_of
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from ledger.core.program.timeline import Timeline
from ledger.sharding import SYSTEM_MEMBER, SYSTEM_SHARD, shard_of
from schemas.decisions import Decision, ProgramPublished, RfmBoundsSet
from schemas.fields import Instant
from schemas.inputs import (
    AccountMerge,
    ConfirmData,
    InputEvent,
    MemberErased,
    PointsReserve,
    PointsTransfer,
    PurchaseCompleted,
    PurchaseData,
    PurchaseLine,
    PurchaseReturned,
    ReservationConfirm,
    ReserveData,
    ReturnData,
    ReturnedLine,
    SurveyCompleted,
    SurveyData,
)

SHARDS = 4
NEW_YEAR = datetime(2017, 1, 1, tzinfo=UTC)

PROGRAM = """
program: shop
currency: USD
time_zone: UTC
effective_from: 2016-01-01T00:00:00Z
point_value: 1
activation: {after: P7D}
expiry: {after: P6M}
earn:
  - id: base
    award: {rate: {points: 1, per_amount: 100}}
  - id: fresh
    lines: {category: [FRESH]}
    award: {rate: {points: 1, per_amount: 100}}
    expiry: {after: P3M}
  - id: gold-bonus
    when: {tier: gold}
    award: {multiplier: {of: base, by: "1.5"}}
  - id: weekly
    when: {purchase_amount: {at_least: 5000}}
    award: {fixed: 50}
    limits: [{times: 1, per: iso_week}]
tiers:
  qualify_by: {amount_spent: {window: calendar_year}}
  levels:
    - {id: silver, at_least: 50000}
    - {id: gold, at_least: 100000}
  downgrade: {to: to_qualified, grace: P1M}
surveys:
  - id: household
    award: {fixed: 200}
    activation: immediately
returns: {policy: debt}
redemption: {minimum: 10, step: 10, reservation_ttl: PT30M, restore_grace: P7D}
segments:
  - {id: lapsed, when: {recency_days: {at_least: 60}}}
  - {id: regular, when: {frequency: {at_least: 3}, recency_days: {at_most: 30}}}
  - {id: rich, when: {balance: {at_least: 100}}}
  - {id: spender, when: {monetary: {at_least: 20000}, tier: [none, silver]}}
  - {id: fresh-buyer, when: {category_bought: FRESH}}
  - {id: champions, when: {rfm: {recency: [4, 5], frequency: [4, 5], monetary: [4, 5]}}}
"""


NO_HASH = b"\0" * 32
"""Stands for the hash of every row."""


def program(text: str = PROGRAM) -> Program:
    """The tests' program, loaded as a user's file is."""
    return load_program(text, "shop.yaml")


def day(days: float) -> datetime:
    """So many days into 2017."""
    return NEW_YEAR + timedelta(days=days)


def purchase(
    order: str, at: datetime, amounts: Sequence[int] = (1000,), category: str | None = None
) -> PurchaseCompleted:
    """A purchase of one line per amount."""
    lines = tuple(
        PurchaseLine(f"l{n}", f"sku{n}", amount, Decimal(1), category)
        for n, amount in enumerate(amounts, 1)
    )
    return PurchaseCompleted(
        specversion="1.0",
        id=f"p-{order}",
        source="test",
        time=at,
        data=PurchaseData(order, "7", "store", "USD", lines),
    )


def give_back(order: str, at: datetime, lines: dict[str, int] | None = None) -> PurchaseReturned:
    """A return of some lines, or of the whole order."""
    returned = lines and tuple(ReturnedLine(line, amount) for line, amount in lines.items())
    return PurchaseReturned(
        specversion="1.0",
        id=f"r-{order}-{at.isoformat()}",
        source="test",
        time=at,
        subject="any",
        data=ReturnData(order, f"r-{order}-{at:%Y%m%dT%H%M%S}", returned or None),
    )


def survey(member: str, at: datetime) -> SurveyCompleted:
    """The household survey, completed."""
    return SurveyCompleted(
        specversion="1.0",
        id=f"s-{member}",
        source="test",
        time=at,
        subject=member,
        data=SurveyData("household", f"c-{member}"),
    )


def erase(at: datetime) -> MemberErased:
    """The member asks to be forgotten."""
    return MemberErased(specversion="1.0", id=f"e-{at.isoformat()}", source="crm", time=at,
                        subject="any")  # fmt: skip


def reserve(reservation: str, at: datetime, points: int) -> PointsReserve:
    """A till holds points."""
    return PointsReserve(
        specversion="1.0",
        id=f"hold-{reservation}",
        source="till",
        time=at,
        subject="any",
        data=ReserveData(reservation, points),
    )


def confirm(reservation: str, at: datetime) -> ReservationConfirm:
    """The points held are spent."""
    return ReservationConfirm(
        specversion="1.0",
        id=f"spend-{reservation}",
        source="till",
        time=at,
        subject="any",
        data=ConfirmData(reservation),
    )


class Log:
    """Appends decisions to the log of a created ledger, over the owner's connection."""

    def __init__(self, connection: psycopg.Connection, form: Program) -> None:
        self.connection = connection
        self.program_id = form.program
        compiled = compile_program(form)
        self.versions: list[tuple[Instant, Compiled]] = [(compiled.effective_from, compiled)]
        self.programs = Timeline(self.versions)
        self.accounts: dict[str, Account] = {}
        self.system_version = self._head(SYSTEM_SHARD)
        self.clock: datetime | None = None
        """The recorded_at of what is appended; None: now."""

    def _head(self, shard: int) -> int:
        row = self.connection.execute(
            "SELECT position FROM ledger.heads WHERE shard = %s", [shard]
        ).fetchone()
        assert row is not None
        return int(row[0])

    def take(self, member: str, event: InputEvent) -> list[Decision]:
        """Decide on an input and append what was decided."""
        account = self.accounts.setdefault(member, Account.new(member))
        version = account.version
        events = decide(account, event, to_instant(event.time), self.programs)
        self._append(shard_of(member, SHARDS), member, version, events)
        return list(events)

    def take_many(self, inputs: Iterable[tuple[str, InputEvent]]) -> int:
        """Decide on many inputs, each shard's in their order, and append what was decided in one
        transaction; how many events."""
        rows: dict[int, list[tuple[str, int, Decision]]] = {}
        for member, event in inputs:
            account = self.accounts.setdefault(member, Account.new(member))
            version = account.version
            decided = decide(account, event, to_instant(event.time), self.programs)
            some = rows.setdefault(shard_of(member, SHARDS), [])
            some += [(member, version + n, one) for n, one in enumerate(decided, 1)]
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for shard, entries in rows.items():
                position = self._head(shard)
                with cursor.copy("COPY ledger.events FROM STDIN") as copy:
                    for place, (member, version, one) in enumerate(entries, position + 1):
                        copy.write_row(self._row(shard, place, member, version, one))
                cursor.execute(
                    "UPDATE ledger.heads SET position = %s WHERE shard = %s",
                    [position + len(entries), shard],
                )
        return sum(map(len, rows.values()))

    def _row(
        self, shard: int, position: int, member: str, version: int, event: Decision
    ) -> tuple[object, ...]:
        return (
            shard,
            position,
            account_id_of(self.program_id, member),
            member,
            version,
            type(event).__name__,
            from_instant(event.occurred_at),
            NEW_YEAR,
            len(event.effects),
            msgspec.json.encode(event),
            NO_HASH,
        )

    def pair(self, member: str, other: str, event: PointsTransfer | AccountMerge) -> None:
        """Decide on an input that concerns two accounts, and append both halves."""
        accounts = [self.accounts.setdefault(name, Account.new(name)) for name in (member, other)]
        versions = [account.version for account in accounts]
        halves = decide_pair(
            accounts[0],
            accounts[1],
            lambda: accounts[1],
            event,
            to_instant(event.time),
            self.programs,
        )
        for name, version, events in zip((member, other), versions, halves, strict=True):
            self._append(shard_of(name, SHARDS), name, version, events)

    def publish(self, form: Program) -> None:
        """Append another program version to the system shard."""
        compiled = compile_program(form)
        self.versions.append((compiled.effective_from, compiled))
        self.programs = Timeline(self.versions)
        self.system(
            ProgramPublished(
                occurred_at=compiled.effective_from,
                version=version_of(form),
                effective_from=compiled.effective_from,
                content=msgspec.Raw(canonical(form)),
            )
        )

    def system(self, event: ProgramPublished | RfmBoundsSet) -> None:
        """Append an event to the system shard."""
        self._append(SYSTEM_SHARD, SYSTEM_MEMBER, self.system_version, [event])
        self.system_version += 1

    def _append(self, shard: int, member: str, version: int, events: Sequence[Decision]) -> None:
        account_id = account_id_of(self.program_id, member)
        with self.connection.transaction(), self.connection.cursor() as cursor:
            position = self._head(shard)
            cursor.executemany(
                "INSERT INTO ledger.events VALUES (%s, %s, %s, %s, %s, %s, %s,"
                " coalesce(%s, now()), %s, %s, %s)",
                [
                    (
                        shard,
                        position + n,
                        account_id,
                        member,
                        version + n,
                        type(event).__name__,
                        from_instant(event.occurred_at),
                        self.clock,
                        len(event.effects),
                        msgspec.json.encode(event),
                        NO_HASH,
                    )
                    for n, event in enumerate(events, 1)
                ],
            )
            cursor.execute(
                "UPDATE ledger.heads SET position = position + %s, hash = %s WHERE shard = %s",
                [len(events), NO_HASH, shard],
            )
