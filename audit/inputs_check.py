"""The dedupe rows of a shard against its events: one row for each input that was taken, and none
else but that of the request which it came with.

Rows are read in the order of their positions beside the log, so memory holds those of one stretch.
An event that decides an input taken elsewhere or earlier (passed on by a merged account; a return
that waited for its purchase) has no row of its own: the row of that input is looked up.
"""

from collections.abc import Generator
from typing import NamedTuple

from psycopg import Connection

from audit.expected_inputs import Expected, expected_of, request_of, waits_elsewhere
from audit.findings import RESTORE_INPUTS, Finding
from audit.rows import LogRow
from ledger.sharding import shard_of
from schemas.decisions import AccountEvent

TABLE = "ledger.inputs"

FETCHED_AT_ONCE = 2_000
"""Dedupe rows in memory: some 60 bytes each."""

_ROWS = (
    "SELECT position, key, content FROM ledger.inputs WHERE shard = %s AND position > %s"
    " ORDER BY position, key"
)
_LOOK_UP = """
SELECT asked.n, i.content, e.type
FROM unnest(%s::integer[], %s::bytea[]) WITH ORDINALITY AS asked (shard, key, n)
LEFT JOIN ledger.inputs i ON i.shard = asked.shard AND i.key = asked.key
LEFT JOIN ledger.events e ON e.shard = i.shard AND e.position = i.position
"""
_OF_WAITING = ("ReturnWaiting", "InputForwarded")
"""Events at which the row of an input is that another event decides."""


class InputRow(NamedTuple):
    """A dedupe row of the shard."""

    position: int
    key: bytes
    content: bytes


class _Asked(NamedTuple):
    """An event whose input's row is elsewhere. `waited`: it may be a return that was decided when
    its purchase came, at another moment than its own: its content is compared where it waited."""

    position: int
    shard: int
    expected: Expected
    waited: bool


class InputsCheck:
    """Follows one shard's dedupe rows. Needs its connection's transaction; not to be used while a
    COPY is under way, except for `check`."""

    def __init__(self, connection: Connection, shard: int, shards: int, after: int) -> None:
        self._connection = connection
        self._shard = shard
        self._shards = shards
        self._rows: Generator[InputRow, None, None] = _ordered(connection, shard, after)
        self._next = next(self._rows, None)
        self._stretch: dict[int, list[InputRow]] = {}
        self._asked: list[_Asked] = []
        self._count = 0

    def fetch(self, to: int) -> None:
        """Read the rows of the positions up to `to`."""
        while self._next is not None and self._next.position <= to:
            self._stretch.setdefault(self._next.position, []).append(self._next)
            self._count += 1
            self._next = next(self._rows, None)

    def check(self, row: LogRow, event: AccountEvent) -> Finding | None:
        """Whether the event's dedupe row is what it must be. Some are only noted, for `settle`."""
        own = self._stretch.pop(row.position, [])
        if len(own) > 1:
            twice = self._more_than_one(row, event, own)
            if twice is not None:
                return twice
        expected = expected_of(row.member_id, event)
        if not own:
            if expected is None:
                return None
            if event.addressed or waits_elsewhere(event):
                if expected.key is not None:
                    shard = shard_of(expected.subject, self._shards)
                    waited = waits_elsewhere(event)
                    self._asked.append(_Asked(row.position, shard, expected, waited))
                return None
            return self._found(
                "input_missing",
                row.position,
                f"no dedupe row names this position: the input of this {row.type} would take"
                " effect again",
            )
        if expected is None or event.addressed:
            return self._found(
                "input_unexpected",
                row.position,
                f"a dedupe row ({own[0].key.hex()}) names this position, where {row.type} answers"
                " no input of this shard",
            )
        if expected.key is not None and expected.key != own[0].key:
            return self._found(
                "input_key",
                row.position,
                f"the dedupe row has the key {own[0].key.hex()}, the event's input"
                f" {expected.key.hex()}",
            )
        if expected.content is not None and expected.content != own[0].content:
            return self._found(
                "input_content",
                row.position,
                f"the dedupe row has the content hash {own[0].content.hex()}, the event's input"
                f" {expected.content.hex()}",
            )
        return None

    def _more_than_one(
        self, row: LogRow, event: AccountEvent, own: list[InputRow]
    ) -> Finding | None:
        """Beside the row of the input there may be one of the request that it came with. Leaves the
        input's own row in `own`."""
        requests = [
            one for one in own if any(one.content == each.key for each in own if each is not one)
        ]
        if len(own) != 2 or len(requests) != 1:
            return self._found(
                "input_twice", row.position, f"{len(own)} dedupe rows name this position"
            )
        (request,) = requests
        own.remove(request)
        expected = request_of(row.member_id, event)
        if request.key == expected:
            return None
        return self._found(
            "request_key",
            row.position,
            f"the dedupe row of this input's request has the key {request.key.hex()}, by the event"
            f" it is {_hex(expected)}",
        )

    def settle(self) -> Finding | None:
        """After a stretch: rows left over, and the inputs that were noted."""
        if self._stretch:  # names positions that the log does not have: 0, or below
            position = min(self._stretch)
            self._stretch.clear()
            return self._found(
                "input_without_event", position, "a dedupe row names a position without an event"
            )
        asked, self._asked = self._asked, []
        if not asked:
            return None
        found = self._connection.execute(
            _LOOK_UP,
            ([one.shard for one in asked], [one.expected.key for one in asked]),
            binary=True,
        ).fetchall()
        for number, content, type_name in sorted(found, key=lambda row: row[0]):
            wrong = self._looked_up(asked[number - 1], content, type_name)
            if wrong is not None:
                return wrong
        return None

    def _looked_up(
        self, asked: _Asked, content: bytes | None, type_name: str | None
    ) -> Finding | None:
        place = f"in shard {asked.shard}, key {_hex(asked.expected.key)}"
        if content is None:
            return self._found(
                "input_missing",
                asked.position,
                f"the dedupe row of this event's input ({place}) is missing: it would take effect"
                " again",
            )
        if type_name not in _OF_WAITING:
            return self._found(
                "input_key",
                asked.position,
                f"the dedupe row of this event's input ({place}) names a position with"
                f" {type_name or 'no event'}",
            )
        if not asked.waited and asked.expected.content not in (None, content):
            return self._found(
                "input_content",
                asked.position,
                f"the dedupe row of this event's input ({place}) has the content hash"
                f" {content.hex()}, the input {_hex(asked.expected.content)}",
            )
        return None

    def after_end(self, end: int) -> Finding | None:
        """Whether a row names a position after the log's end."""
        if self._next is None:
            return None
        return self._found(
            "input_without_event",
            self._next.position,
            f"a dedupe row names this position, but the log ends at {end}: its end was cut off",
        )

    def taken(self) -> int:
        """How many dedupe rows were read since the last call."""
        taken, self._count = self._count, 0
        return taken

    def close(self) -> None:
        """Let go of what the server keeps for it."""
        self._rows.close()

    def _found(self, code: str, position: int, what: str) -> Finding:
        return Finding(code, self._shard, what, RESTORE_INPUTS, position, TABLE)


def _ordered(connection: Connection, shard: int, after: int) -> Generator[InputRow, None, None]:
    with connection.cursor(f"inputs_{shard + 1}", binary=True) as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        # What names no position of the log at all comes first.
        cursor.execute(_ROWS, (shard, after or -(2**62)))
        for row in cursor:
            yield InputRow._make(row)


def _hex(value: bytes | None) -> str:
    return "" if value is None else value.hex()
