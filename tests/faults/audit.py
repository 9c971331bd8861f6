"""Reads the log as it was written and checks it event by event, by its own means.

The hash chain is computed here from the rows that PostgreSQL sends, by the definition in
docs/events.md and docs/architecture.md and not by the ledger's code. Each call goes on where the
one before stopped; memory holds what must be unique: orders, returns, completions, referrals.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from struct import pack, unpack_from
from uuid import UUID

import orjson
import psycopg

from tests.faults.account import ONCE
from tests.faults.records import ACTIVITY, COMMAND, PURCHASE, REFERRAL, RETURN, SURVEY

SIGNATURE_BYTES = 19
"""Of a binary COPY: signature, flags, length of the extension."""

_ROWS = (
    "COPY (SELECT shard, position, account_id, member_id, version, type, occurred_at, recorded_at,"
    " effects, payload, hash FROM ledger.events WHERE shard = {shard} AND position > {position}"
    " ORDER BY position) TO STDOUT (FORMAT BINARY)"
)
_HEADS = "SELECT shard, position, hash FROM ledger.heads ORDER BY shard"
_LEDGER = "SELECT ledger_id FROM ledger.ledger"


class AuditFailed(Exception):
    """An invariant does not hold; the text says which and where."""


@dataclass(slots=True)
class Tail:
    """Where the audit of a shard stands."""

    position: int
    hash: bytes
    recorded_at: int = 0


@dataclass(slots=True)
class Audit:
    """What the log holds so far."""

    tails: dict[int, Tail] = field(default_factory=dict)
    versions: dict[tuple[int, bytes], int] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    taken: dict[str, set[tuple[str | None, str]]] = field(
        default_factory=lambda: {kind: set() for kind in ONCE}
    )
    totals: Counter[str] = field(default_factory=Counter)
    ring: Counter[str] = field(default_factory=Counter)
    events: int = 0

    def read(self, url: str) -> int:
        """Check what was appended since the last call; how many events. Raises AuditFailed."""
        before = self.events
        with psycopg.connect(url) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = connection.execute(_LEDGER).fetchone()
            assert found is not None
            for shard, position, hash_ in connection.execute(_HEADS).fetchall():
                tail = self.tails.setdefault(shard, Tail(0, genesis(found[0], shard)))
                self._shard(connection, shard, tail)
                if (tail.position, tail.hash) != (position, bytes(hash_)):
                    raise AuditFailed(
                        f"shard {shard}: the log ends at {tail.position}, its head says {position}"
                    )
        if self.totals.total():
            raise AuditFailed(f"the postings of the ledger sum to {self.totals.total()}")
        if self.totals["transferred"]:
            raise AuditFailed(f"given and received differ by {self.totals['transferred']} points")
        return self.events - before

    def _shard(self, connection: psycopg.Connection, shard: int, tail: Tail) -> None:
        query = _ROWS.format(shard=int(shard), position=int(tail.position))
        first = True
        with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            for data in copy:
                row = bytes(data)
                if first:
                    row, first = row[SIGNATURE_BYTES:], False
                if len(row) > 2:  # the end of a COPY is a field count of -1
                    self._follow(shard, tail, row)

    def _follow(self, shard: int, tail: Tail, row: bytes) -> None:
        fields = split(row)
        place = f"shard {shard}, position {tail.position + 1}"
        (position,) = unpack_from("!q", fields[1])
        if position != tail.position + 1:
            raise AuditFailed(f"{place}: the next event has position {position}")
        hashed = row[2 : len(row) - 4 - len(fields[10])]
        if sha256(tail.hash + hashed).digest() != fields[10]:
            raise AuditFailed(f"{place}: the hash does not follow from the row")
        (version,), (recorded_at,) = unpack_from("!i", fields[4]), unpack_from("!q", fields[7])
        if recorded_at < tail.recorded_at:
            raise AuditFailed(f"{place}: recorded_at steps back")
        account = (shard, fields[2])  # purchases without a member share one, in every shard
        if version != self.versions.get(account, 0) + 1:
            raise AuditFailed(f"{place}: version {version} of an account that has others")
        self.versions[account] = version
        tail.position, tail.hash, tail.recorded_at = position, fields[10], recorded_at
        self._event(place, fields[3].decode(), fields[5].decode(), orjson.loads(fields[9]))

    def _event(self, place: str, member: str, kind: str, payload: dict[str, object]) -> None:
        self.events += 1
        self.types[kind] += 1
        postings = payload.get("postings", ())
        assert isinstance(postings, list | tuple)
        if sum(points for _, points, *_ in postings):
            raise AuditFailed(f"{place}: the postings of {kind} do not sum to zero")
        for account, points, *_ in postings:
            self.totals[account] += points
            if member.startswith("ring-"):
                self.ring[account] += points
        key = effect_key(kind, member, payload)
        if key is not None:
            type_, business = key
            if business in self.taken[type_]:
                raise AuditFailed(f"{place}: {type_} {business} takes effect a second time")
            self.taken[type_].add(business)


def effect_key(
    kind: str, member: str, payload: dict[str, object]
) -> tuple[str, tuple[str | None, str]] | None:
    """The input type and business key that an event is the effect of, if there is only one."""

    def inside(name: str, number: str) -> str:
        part = payload[name]
        assert isinstance(part, dict)
        return str(part[number])

    match kind:
        case "PurchaseRewarded":
            return PURCHASE, (member, inside("purchase", "order_id"))
        case "AnonymousPurchaseRecorded":
            return PURCHASE, (None, inside("purchase", "order_id"))
        case "PurchaseReturned":
            return RETURN, (member, inside("returned", "return_id"))
        case "SurveyRewarded":
            return SURVEY, (member, str(payload["completion_id"]))
        case "ReferralAccepted":
            return REFERRAL, (member, str(payload["referrer_id"]))
        case "ActivityRewarded":
            return ACTIVITY, (
                member,
                f"{inside('activity', 'activity')} {inside('activity', 'reference')}",
            )
        case (
            "PointsReserved"
            | "ReservationConfirmed"
            | "ReservationCancelled"
            | "PointsAdjusted"
            | "PointsSent"
        ):
            cause = payload["cause"]
            assert isinstance(cause, list)
            return COMMAND, (member, str(cause[1]))
    return None


def genesis(ledger_id: UUID, shard: int) -> bytes:
    """What the first event of a shard continues."""
    return sha256(ledger_id.bytes + pack("!i", shard)).digest()


def split(row: bytes) -> list[bytes]:
    """The fields of one row of a binary COPY."""
    fields, at = [], 2
    while at < len(row):
        (length,) = unpack_from("!i", row, at)
        fields.append(row[at + 4 : at + 4 + length])
        at += 4 + length
    return fields
