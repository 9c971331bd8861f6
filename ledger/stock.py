"""Stock of catalogue rewards and codes of vouchers: given once, over all shards and workers.

A row for each counted reward says how many units were given. A claim is decided with what was read
of it; before anything is stored the rows of the rewards claimed are locked, after the heads and in
the order of their ids. If one has moved, all claims of the batch are decided again under the lock.
A voucher's code is the one whose number is the unit's; the log holds the number alone.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from ledger.batch import Batch, Stock
from ledger.crash import crash_point
from ledger.lookups import Connection
from ledger.work import Work, claimed_by
from schemas.inputs import RewardClaim

_READ = "SELECT reward_id, loaded, given FROM ledger.reward_stock WHERE reward_id = ANY(%s)"
_BEGIN = (
    "INSERT INTO ledger.reward_stock (reward_id) SELECT * FROM unnest(%s::text[])"
    " ON CONFLICT DO NOTHING"
)
_LOCK = _READ + " ORDER BY reward_id FOR UPDATE"
_GIVE = """
UPDATE ledger.reward_stock s SET given = s.given + v.n
FROM unnest(%s::text[], %s::bigint[]) AS v (reward_id, n) WHERE s.reward_id = v.reward_id
"""
_HAND_OUT = """
UPDATE ledger.voucher_codes c SET shard = v.shard, position = v.position
FROM unnest(%s::text[], %s::bigint[], %s::integer[], %s::bigint[])
    AS v (reward_id, number, shard, position)
WHERE c.reward_id = v.reward_id AND c.number = v.number AND c.position IS NULL
RETURNING c.number
"""
_CODE = "SELECT code FROM ledger.voucher_codes WHERE shard = %s AND position = %s"
_LOAD = """
WITH fresh AS (
    SELECT i.code, row_number() OVER (ORDER BY min(i.place)) AS n
    FROM unnest(%(codes)s::text[]) WITH ORDINALITY AS i (code, place)
    WHERE NOT EXISTS (
        SELECT FROM ledger.voucher_codes c WHERE c.reward_id = %(reward)s AND c.code = i.code
    )
    GROUP BY i.code
), stored AS (
    INSERT INTO ledger.voucher_codes (reward_id, number, code)
    SELECT %(reward)s, %(loaded)s + n, code FROM fresh RETURNING 1
)
UPDATE ledger.reward_stock SET loaded = loaded + (SELECT count(*) FROM stored)
WHERE reward_id = %(reward)s RETURNING loaded, given
"""

CODES_AT_ONCE = 10_000
"""Codes loaded in one transaction: a fifth of a second in which claims of the reward wait."""


class Loaded(Struct, frozen=True):
    """What loading codes came to. `known`: codes of the file that were there before, or in it
    twice; `left`: codes not handed out."""

    loaded: int
    known: int
    left: int


def claims(batch: Batch, shards: Iterable[int]) -> list[Work]:
    """The claims of these shards that reached a decision or may yet."""
    wanted = set(shards)
    return [work for work in batch.of_types(RewardClaim) if work.shard in wanted]


async def read(connection: Connection, batch: Batch, shards: Iterable[int]) -> None:
    """What is given of the rewards that are claimed, without a lock."""
    wanted = {
        work.item.event.data.reward_id
        for work in claims(batch, shards)
        if isinstance(work.item.event, RewardClaim)
    }
    if wanted:
        batch.stock = await _rows(connection, _READ, sorted(wanted))


async def lock(connection: Connection, batch: Batch, shards: Iterable[int]) -> bool:
    """Lock the rows of what is claimed; whether the claims are to be decided again, because some of
    it was given to others since it was read, or codes were loaded."""
    given = map(claimed_by, claims(batch, shards))
    taken = {one.reward_id for one in given if one is not None}
    names = sorted(taken.union(batch.stock))
    if not names:
        return False
    if taken:
        await connection.execute(_BEGIN, (sorted(taken),))
    found = await _rows(connection, _LOCK, names)
    crash_point("append.after_stock_locked")
    return any(batch.stock.get(name, Stock()) != stock for name, stock in found.items())


async def _rows(connection: Connection, query: str, names: Sequence[str]) -> dict[str, Stock]:
    cursor = await connection.execute(query, (list(names),))
    return {name: Stock(loaded, given) for name, loaded, given in await cursor.fetchall()}


async def give(connection: Connection, batch: Batch) -> None:
    """Note what is given now, and who gets which code. The rows are locked."""
    given: dict[str, int] = {}
    codes = []
    for work in batch.of_types(RewardClaim):
        claimed = claimed_by(work) if work.kind == "applied" else None
        if claimed is None:
            continue
        given[claimed.reward_id] = given.get(claimed.reward_id, 0) + 1
        if claimed.kind == "voucher":
            codes.append((claimed.reward_id, claimed.number, work.shard, work.position))
    if not given:
        return
    await connection.execute(_GIVE, (list(given), list(given.values())))
    if codes:
        cursor = await connection.execute(_HAND_OUT, tuple(map(list, zip(*codes, strict=True))))
        assert len(await cursor.fetchall()) == len(codes), "a voucher code was handed out before"
    crash_point("append.after_stock_given")


async def code_of(connection: Connection, shard: int, position: int) -> str | None:
    """The code that the claim at a position was given; None if it was none of a voucher."""
    row = await (await connection.execute(_CODE, (shard, position))).fetchone()
    return None if row is None else str(row[0])


async def stock(connection: Connection, names: Sequence[str]) -> dict[str, Stock]:
    """What is loaded and given of these rewards; those that nobody asked for have no row."""
    return await _rows(connection, _READ, names)


async def load_codes(connection: Connection, reward_id: str, codes: Sequence[str]) -> Loaded:
    """Add codes to a voucher reward; a code that is there already is left as it is, so that a file
    can be loaded again."""
    first = loaded = given = 0
    for start in range(0, max(len(codes), 1), CODES_AT_ONCE):
        part = list(codes[start : start + CODES_AT_ONCE])
        async with connection.transaction():
            await connection.execute(_BEGIN, ([reward_id],))
            found = await _rows(connection, _LOCK, [reward_id])
            values = {"codes": part, "reward": reward_id, "loaded": found[reward_id].loaded}
            row = await (await connection.execute(_LOAD, values)).fetchone()
        assert row is not None
        if not start:
            first = found[reward_id].loaded
        loaded, given = row
    return Loaded(loaded - first, len(codes) - (loaded - first), loaded - given)
