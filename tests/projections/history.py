"""Random histories to fold, and everything that was folded as text, to compare."""

import random

from psycopg import Connection

from projections import positions
from projections.folding import Folder
from projections.runner import read_models
from tests.projections.conftest import Shop
from tests.projections.log_writer import Log, confirm, day, give_back, purchase, reserve, survey

TABLES = {
    "balances": "member_id",
    "balance_changes": "shard, position, effective_at",
    "open_lots": "member_id, lot",
    "tiers": "member_id",
    "tier_intervals": "member_id, valid_from",
    "member_purchases": "shard, position",
    "segment_intervals": "member_id, segment, entered_at",
    "rfm_bounds": "position",
    "sale_notes": "shard, position",
    "point_notes": "shard, position, n",
    "referral_steps": "shard, position, step",
    "point_values": "position",
    "positions": "projection, shard",
}
"""The tables of the read models and their keys."""


def write_history(
    log: Log, seed: int, members: int = 12, inputs: int = 160, first: int = 0
) -> None:
    """Random purchases, returns and surveys, some of them weeks late. The seed says which."""
    rng = random.Random(seed)
    bought: list[tuple[str, str, float]] = []
    for n in range(first, first + inputs):
        member = f"m{rng.randrange(members)}"
        at = max(0.0, n * 2.5 + rng.choice([0, 0, 0, -20, -90]) + rng.random())
        kind = rng.random()
        if kind < 0.75 or not bought:
            amounts = [rng.randrange(0, 12_000) for _ in range(rng.randrange(1, 4))]
            category = rng.choice([None, "FRESH", "DRY"])
            log.take(member, purchase(f"o{n}", day(at), amounts, category))
            bought.append((member, f"o{n}", at))
        elif kind < 0.8:
            log.take(member, reserve(f"r{n}", day(at), 10 * rng.randrange(1, 9)))
            if rng.random() < 0.7:
                log.take(member, confirm(f"r{n}", day(at + 0.01)))
        elif kind < 0.93:
            member, order, when = rng.choice(bought)
            log.take(member, give_back(order, day(max(at, when + 0.1))))
        else:
            log.take(member, survey(member, day(at)))


def catch_up(session: Connection, folder: Folder | None = None) -> Folder:
    """Fold until nothing is left."""
    folder = folder or Folder(read_models())
    positions.ensure(session, list(folder.models))
    while folder.cycle(session):
        pass
    assert not folder.behind(session)
    return folder


def dump(session: Connection) -> dict[str, str]:
    """Every table of the read models as text, in the order of its key."""
    found = {}
    for name, key in TABLES.items():
        row = session.execute(
            f"SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY {key}), '') FROM read.{name} AS t"
        ).fetchone()
        assert row is not None
        found[name] = row[0]
    return found


def empty(session: Connection) -> None:
    """Back to nothing folded."""
    session.execute("TRUNCATE " + ", ".join(f"read.{name}" for name in TABLES))


def folded_anew(shop: Shop) -> dict[str, str]:
    """What a fold of the whole log by a new process gives."""
    empty(shop.session)
    catch_up(shop.session)
    return dump(shop.session)
