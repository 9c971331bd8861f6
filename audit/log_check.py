"""What each event of the log must be, beside a link of the chain.

It can be decoded; its columns say what its payload says; it belongs to its account, its account to
its member, its member to its shard; its postings sum to zero (invariant 1).
"""

from collections import Counter

import msgspec

from audit.findings import RESTORE, Finding
from audit.rows import LogRow
from ledger.accounts import account_key_of
from ledger.sharding import ANONYMOUS_MEMBER, SYSTEM_MEMBER, SYSTEM_SHARD, shard_of
from schemas.decisions import (
    AccountEvent,
    AnonymousPurchaseRecorded,
    LedgerCreated,
    LogEvent,
)
from schemas.log_events import decode_account_event, decode_system_event


class LogCheck:
    """Checks the rows of one ledger; `totals` are the postings by account so far."""

    def __init__(
        self, program_id: str, ledger_id: str, shards: int, totals: Counter[str] | None = None
    ) -> None:
        self._program_id = program_id
        self._ledger_id = ledger_id
        self._shards = shards
        self.totals: Counter[str] = totals if totals is not None else Counter()

    def check(self, row: LogRow) -> tuple[LogEvent | None, Finding | None]:
        """The event of a row, and what is wrong with it."""
        event: LogEvent
        try:
            if row.shard == SYSTEM_SHARD:
                event = decode_system_event(row.payload)
            else:
                event = decode_account_event(row.payload)
        except msgspec.MsgspecError as error:
            return None, self._found(
                row, "undecodable", f"the payload is no event that this version knows ({error})"
            )
        wrong = self._columns(row, event) or self._owner(row, event) or self._postings(row, event)
        return event, wrong

    def _columns(self, row: LogRow, event: LogEvent) -> Finding | None:
        told = (type(event).__name__, event.occurred_at, len(event.effects))
        for name, column, payload in zip(
            ("type", "occurred_at", "effects"),
            (row.type, row.occurred_at, row.effects),
            told,
            strict=True,
        ):
            if column != payload:
                return self._found(
                    row, "columns_differ", f"{name} is {column}, its payload says {payload}"
                )
        return None

    def _owner(self, row: LogRow, event: LogEvent) -> Finding | None:
        if row.account_id != account_key_of(self._program_id, row.member_id):
            return self._found(
                row, "wrong_account", f"the account is not that of member {row.member_id}"
            )
        if row.shard == SYSTEM_SHARD:
            if row.member_id != SYSTEM_MEMBER:
                return self._found(row, "wrong_shard", f"{row.member_id} is not the system")
            if isinstance(event, LedgerCreated) and (event.ledger_id, event.shards) != (
                self._ledger_id,
                self._shards,
            ):
                return self._found(
                    row,
                    "other_ledger",
                    f"the event created ledger {event.ledger_id} with {event.shards} shards,"
                    f" ledger.ledger says {self._ledger_id} with {self._shards}",
                )
            return None
        routed = row.member_id
        if isinstance(event, AnonymousPurchaseRecorded):
            routed = event.purchase.order_id
        belongs = shard_of(routed, self._shards)
        anonymous = row.member_id == ANONYMOUS_MEMBER
        if anonymous and not isinstance(event, AnonymousPurchaseRecorded):
            belongs = row.shard  # refused, for instance: keyed by what the log need not hold
        if belongs != row.shard:
            return self._found(row, "wrong_shard", f"{routed} belongs to shard {belongs}")
        return None

    def _postings(self, row: LogRow, event: AccountEvent | LogEvent) -> Finding | None:
        total = 0
        for posting in event.postings:
            total += posting.points
            self.totals[posting.account] += posting.points
        if total:
            return self._found(
                row, "postings_sum", f"the postings of this event sum to {total}, not to 0"
            )
        return None

    def _found(self, row: LogRow, code: str, what: str) -> Finding:
        return Finding(code, row.shard, what, RESTORE, row.position)
