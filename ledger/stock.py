"""Stock of catalogue rewards and codes of vouchers: given once, over all shards and workers.

A row for each counted reward says how many units were given. A claim is decided with what was read
of it; before anything is stored the rows of all rewards asked for are locked at once, after the
heads and in the order of their ids, whether or not a unit was found for each. If one has moved, all
claims of the batch are decided again under the lock; no further row is locked for that.
A voucher's code is the one whose number is the unit's; the log holds the number alone.
"""

from collections.abc import Iterable, Mapping, Sequence, Set

from msgspec import Struct

from ledger.batch import Batch, Stock
from ledger.core.catalogue import is_counted, units
from ledger.core.program.compiled import Compiled
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
    WHERE NOT EXISTS (SELECT FROM ledger.voucher_codes c WHERE c.code = i.code)
    GROUP BY i.code
), stored AS (
    INSERT INTO ledger.voucher_codes (reward_id, number, code)
    SELECT %(reward)s, %(loaded)s + n, code FROM fresh RETURNING 1
)
UPDATE ledger.reward_stock SET loaded = loaded + (SELECT count(*) FROM stored)
WHERE reward_id = %(reward)s RETURNING loaded, given
"""
_ONE_LOAD = "SELECT pg_advisory_xact_lock(%s)"
_OF_OTHERS = """
SELECT i.place FROM unnest(%s::text[]) WITH ORDINALITY AS i (code, place)
JOIN ledger.voucher_codes c ON c.code = i.code WHERE c.reward_id <> %s ORDER BY i.place
"""

_LOCK_OF_LOADS = 0x706F_696E_7473_0003
"""The advisory lock under which codes are loaded, one file at a time: two for two rewards may hold
the same codes. Taken before the stock row; whoever claims does not take it."""

CODES_AT_ONCE = 10_000
"""Codes loaded in one transaction: a fifth of a second in which claims of the reward wait."""


class Loaded(Struct, frozen=True):
    """What loading codes came to. `known`: codes of the file that were there before, or in it
    twice; `left`: codes not handed out; `refused`: the places in the file, from 0, of codes that
    are those of another reward."""

    loaded: int
    known: int
    left: int
    refused: tuple[int, ...] = ()


def claims(batch: Batch, shards: Iterable[int]) -> list[Work]:
    """The claims of these shards that reached a decision or may yet."""
    wanted = set(shards)
    return [work for work in batch.of_types(RewardClaim) if work.shard in wanted]


def _asked_for(batch: Batch, shards: Iterable[int]) -> set[str]:
    """The ids that these claims name: whatever clients say."""
    return {
        work.item.event.data.reward_id
        for work in claims(batch, shards)
        if isinstance(work.item.event, RewardClaim)
    }


async def read(connection: Connection, batch: Batch, shards: Iterable[int]) -> None:
    """What is given of the rewards that are claimed, without a lock."""
    wanted = _asked_for(batch, shards)
    if wanted:
        batch.stock = await _rows(connection, _READ, sorted(wanted))


async def lock(
    connection: Connection, batch: Batch, shards: Iterable[int], counted: Set[str]
) -> bool:
    """Lock the rows of what is claimed; whether the claims are to be decided again, because some of
    it was given to others since it was read, or codes were loaded. `counted`: the rewards of which
    units are counted by any program version; only these have rows.

    Rows that are not there are made first, in the same order: who holds a lock waits for none that
    is being made, so that two batches cannot wait for each other.
    """
    names = sorted(_asked_for(batch, shards) & counted)
    if not names:
        return False
    fresh = [name for name in names if name not in batch.stock]
    if fresh:
        await connection.execute(_BEGIN, (fresh,))
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


class Offer(Struct, frozen=True):
    """A reward of the catalogue. `stock`: units of it in all, `codes_loaded`: of a voucher; `given`
    and `left`: of one whose units are counted. Null: not counted."""

    id: str
    kind: str
    points: int
    stock: int | None
    codes_loaded: int | None
    given: int | None
    left: int | None


def offers(program: Compiled, found: Mapping[str, Stock]) -> list[Offer]:
    """The catalogue of a program; `found`: what is loaded and given of its rewards."""
    told = []
    for reward in program.rewards.values():
        loaded, given = found.get(reward.id, Stock())
        counted = is_counted(reward)
        told.append(
            Offer(
                reward.id,
                reward.kind,
                reward.points,
                reward.stock,
                loaded if reward.kind == "voucher" else None,
                given if counted else None,
                max(units(reward, loaded) - given, 0) if counted else None,
            )
        )
    return told


async def load_codes(connection: Connection, reward_id: str, codes: Sequence[str]) -> Loaded:
    """Add codes to a voucher reward; a code that is there already is left as it is, so that a file
    can be loaded again. One of another reward is refused: it would be handed out twice."""
    first = loaded = given = 0
    refused: list[int] = []
    for start in range(0, max(len(codes), 1), CODES_AT_ONCE):
        part = list(codes[start : start + CODES_AT_ONCE])
        async with connection.transaction():
            await connection.execute(_ONE_LOAD, (_LOCK_OF_LOADS,))
            others = await connection.execute(_OF_OTHERS, (part, reward_id))
            refused += [start + place - 1 for (place,) in await others.fetchall()]
            await connection.execute(_BEGIN, ([reward_id],))
            found = await _rows(connection, _LOCK, [reward_id])
            values = {"codes": part, "reward": reward_id, "loaded": found[reward_id].loaded}
            row = await (await connection.execute(_LOAD, values)).fetchone()
        assert row is not None
        if not start:
            first = found[reward_id].loaded
        loaded, given = row
    fresh = loaded - first
    return Loaded(fresh, len(codes) - fresh - len(refused), loaded - given, tuple(refused))
