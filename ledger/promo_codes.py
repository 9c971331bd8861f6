"""Generated promo codes: their rows, and what the inputs of one batch may still use of them.

A row is known by the digest of its code; the code itself is nowhere in the database. The codes that
a batch names (and those that it gives back) are locked under the heads of its shards, in order, so
that each is used once whoever else names it at the same moment.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import psycopg
from msgspec import Struct, field
from psycopg.rows import TupleRow

from ledger.core.program.compiled import Compiled
from ledger.core.program.promo_codes import normal
from ledger.core.promo_codes import digest, generated
from ledger.lookups import Connection
from ledger.packed_arrays import bytea_array
from schemas.decisions import AccountEvent, CodeFact, PurchaseReturned, PurchaseRewarded

_READ = (
    "SELECT code, series, member_id, uses_left FROM ledger.promo_codes"
    " WHERE code = ANY(%s) ORDER BY code"
)
_HOLD = _READ + " FOR UPDATE"
_USE = """
UPDATE ledger.promo_codes c SET uses_left = c.uses_left - v.uses
FROM unnest(%s::bytea[], %s::integer[]) AS v (code, uses) WHERE c.code = v.code
"""


class CodeRow(Struct, frozen=True):
    """A generated code. `member_id`: to whom it is bound, or None."""

    series: str
    member_id: str | None
    uses_left: int


class SeriesCount(Struct, frozen=True):
    """Of the generated codes of a series: how many, their uses in all, and what is left of them."""

    codes: int
    uses: int
    uses_left: int


class Codes(Struct):
    """The generated codes that a batch names. `named`: the shards whose inputs name each;
    `rows`: as stored; `used`: by shard, how often the decisions so far use it; `held`: those that
    this append has locked."""

    named: dict[bytes, set[int]]
    rows: dict[bytes, CodeRow] = field(default_factory=dict)
    used: dict[int, Counter[bytes]] = field(default_factory=dict)
    held: Set[bytes] = frozenset()

    def know(self, rows: Mapping[bytes, CodeRow]) -> set[int]:
        """Take note of all rows; the shards that name a code which is not as it was known."""
        changed: set[int] = set()
        for code, shards in self.named.items():
            if rows.get(code) != self.rows.get(code):
                changed |= shards
        self.rows = dict(rows)
        return changed

    def shared(self) -> list[set[int]]:
        """The shards that name or give back the same code, of each code of which there are some."""
        shards = {code: set(named) for code, named in self.named.items()}
        for shard, used in self.used.items():
            for code in used:
                shards.setdefault(code, set()).add(shard)
        return [of_code for of_code in shards.values() if len(of_code) > 1]

    def forget(self, shards: Iterable[int]) -> None:
        """Undo what was decided for these shards."""
        for shard in shards:
            self.used.pop(shard, None)

    def facts(
        self,
        members: Set[str],
        texts: Sequence[str],
        program: Compiled,
        rooms: Mapping[str, int],
    ) -> tuple[CodeFact, ...]:
        """What is known from outside of the codes that a purchase names. `members`: the ids under
        which its member is known; `rooms`: what the shard has of budgets."""
        found: list[CodeFact] = []
        if not program.series:
            return ()
        for place, text in enumerate(texts):
            word = program.words.get(normal(text))
            if word is not None:
                if word.uses is not None:
                    status = "ok" if rooms.get(word.budget, 0) > 0 else "spent"
                    found.append(CodeFact(place, status, word.id))
                continue
            code = generated(text)
            key = b"" if code is None else digest(code)
            row = self.rows.get(key)
            of = None if row is None else program.series.get(row.series)
            # Codes generated before their series got a fixed one are good for nothing any more.
            if row is not None and of is not None and of.code is None:
                found.append(CodeFact(place, self._status(key, row, members), row.series))
        return tuple(found)

    def _status(self, code: bytes, row: CodeRow, members: Set[str]) -> str:
        if row.member_id is not None and row.member_id not in members:
            return "not_yours"
        left = row.uses_left - sum([used[code] for used in self.used.values()])
        return "ok" if left > 0 else "spent"

    def follow(self, shard: int, events: Iterable[AccountEvent]) -> None:
        """Take off what the events of an input use, and add what they give back."""
        for event in events:
            if isinstance(event, PurchaseRewarded | PurchaseReturned):
                sign = 1 if isinstance(event, PurchaseRewarded) else -1
                for use in event.codes:
                    if use.code:
                        of_shard = self.used.setdefault(shard, Counter())
                        of_shard[bytes.fromhex(use.code)] += sign

    def total(self) -> dict[bytes, int]:
        """How often the batch uses each code; below 0 what it gives back."""
        total: Counter[bytes] = Counter()
        for used in self.used.values():
            total.update(used)
        return {code: total[code] for code in sorted(total) if total[code]}


_COUNTS = (
    "SELECT series, count(*), sum(uses)::bigint, sum(uses_left)::bigint FROM ledger.promo_codes"
    " GROUP BY series"
)


async def code_row(connection: Connection, text: str) -> CodeRow | None:
    """The row of a generated code; None when there is none."""
    key = named_code(text)
    return None if key is None else (await _rows(connection, _READ, {key})).get(key)


async def counts(connection: Connection) -> dict[str, SeriesCount]:
    """The generated codes by series."""
    cursor = await connection.execute(_COUNTS)
    return {row[0]: SeriesCount(*row[1:]) for row in await cursor.fetchall()}


_BOUND = (
    "SELECT series, count(*), sum(uses_left)::bigint FROM ledger.promo_codes"
    " WHERE member_id = %s GROUP BY series ORDER BY series"
)


def bound_codes(connection: psycopg.Connection[Any], member_id: str) -> list[TupleRow]:
    """The generated codes that only this member may use: series, how many, uses left of them."""
    return connection.execute(_BOUND, [member_id]).fetchall()


def named_code(text: str) -> bytes | None:
    """The digest of what can be a generated code."""
    code = generated(text)
    return None if code is None else digest(code)


async def read(connection: Connection, codes: Codes) -> None:
    """Read the codes that are named, without a lock."""
    if codes.named:
        codes.know(await _rows(connection, _READ, codes.named.keys()))


async def hold(connection: Connection, codes: Codes, also: Set[bytes]) -> set[int]:
    """Lock the codes that are named or given back (and `also` these), under the heads; the shards
    for which they are not as was read."""
    codes.held = codes.named.keys() | codes.total().keys() | also
    if not codes.held:
        return set()
    return codes.know(await _rows(connection, _HOLD, codes.held))


async def _rows(connection: Connection, statement: str, keys: Set[bytes]) -> dict[bytes, CodeRow]:
    cursor = await connection.execute(statement, (bytea_array(list(keys)),), binary=True)
    return {row[0]: CodeRow(*row[1:]) for row in await cursor.fetchall()}


async def use(connection: Connection, uses: Mapping[bytes, int]) -> None:
    """Take off the codes what the append uses of them, or add what it gives back."""
    await connection.execute(_USE, (bytea_array(list(uses)), list(uses.values())))
