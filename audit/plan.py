"""What one audit looks at: the ledger, its heads and where its read models stand, of one moment."""

from typing import Any

from msgspec import Struct
from psycopg import Connection

from audit.errors import AuditRefused
from ledger.sharding import SYSTEM_SHARD
from projections.positions import Place
from projections.runner import read_models

_LEDGER = "SELECT ledger_id::text, program_id, shards FROM ledger.ledger"
_HEADS = "SELECT shard, position, hash, recorded_at FROM ledger.heads ORDER BY shard"
_PLACES = (
    "SELECT projection, shard, position, system_position, refresh_target, refresh_after"
    " FROM read.positions"
)


class HeadRow(Struct, frozen=True):
    """A head row, as the database has it. `recorded_at`: an Instant."""

    position: int
    hash: bytes
    recorded_at: int


class Plan(Struct, frozen=True):
    """What all workers of an audit share. `snapshot`: the moment, by PostgreSQL's name for it."""

    url: str
    snapshot: str
    ledger_id: str
    program_id: str
    shards: int
    heads: dict[int, HeadRow]
    places: tuple[Place, ...]
    read_models: bool

    def places_of(self, shard: int) -> list[Place]:
        """Where each projection stands in a shard; one that has not begun stands at 0."""
        known = {place.projection: place for place in self.places if place.shard == shard}
        return [
            known.get(model.name, Place(model.name, shard, 0, 0, None, None))
            for model in read_models()
        ]

    def work_of(self, shard: int) -> int:
        """Events to be read for a shard, for the progress: its log and, per position at which read
        models stand, their folding."""
        head = self.heads.get(shard)
        work = 0 if head is None else head.position
        if self.read_models and shard != SYSTEM_SHARD:
            work += sum({place.position for place in self.places_of(shard)})
        return work


def plan_of(connection: Connection, url: str, snapshot: str, *, with_read_models: bool) -> Plan:
    """The plan of an audit of the moment that the connection's transaction sees."""
    row = connection.execute(_LEDGER).fetchone()
    assert row is not None, "the session was checked"
    heads: dict[int, HeadRow] = {
        shard: HeadRow(*rest) for shard, *rest in connection.execute(_HEADS, binary=True).fetchall()
    }
    places: list[Any] = connection.execute(_PLACES).fetchall() if with_read_models else []
    ledger_id, program_id, shards = row
    return Plan(
        url,
        snapshot,
        ledger_id,
        program_id,
        shards,
        heads,
        tuple([Place(*place) for place in places]),
        with_read_models,
    )


def shards_asked(plan: Plan, asked: list[int]) -> list[int]:
    """The shards to look at: those asked for, or all. Raises AuditRefused (no_such_shard)."""
    every = list(range(SYSTEM_SHARD, plan.shards))
    for shard in asked:
        if shard not in every:
            raise AuditRefused(
                f"There is no shard {shard}: this ledger has the shards 0 to {plan.shards - 1},"
                f" and {SYSTEM_SHARD} for what belongs to no member.",
                "no_such_shard",
            )
    return sorted(set(asked)) or every
