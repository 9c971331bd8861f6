"""DuckDB over the files of an export against SQL over the database."""

from pathlib import Path
from typing import Any

import duckdb
import psycopg

COMPARED: dict[str, tuple[str, str]] = {
    "log": (
        (
            "SELECT shard, position, account_id, member_id, version, type, occurred_at,"
            " recorded_at, hash, payload, program, cause_source, cause_id, late_by FROM {}"
            " ORDER BY 1, 2"
        ),
        (
            "SELECT shard, position, account_id::text, member_id, version, type, occurred_at,"
            " recorded_at, encode(hash, 'hex'), j, coalesce(j::jsonb ->> 'program', ''),"
            " j::jsonb -> 'cause' ->> 0, j::jsonb -> 'cause' ->> 1,"
            " coalesce((j::jsonb ->> 'late_by')::bigint, 0)"
            " FROM ledger.events, convert_from(payload, 'UTF8') AS j ORDER BY 1, 2"
        ),
    ),
    "postings": (
        (
            "SELECT shard, position, n, member_id, account, points, lot, epoch_us(effective_at),"
            " recorded_at FROM {} ORDER BY 1, 2, 3"
        ),
        (
            "SELECT shard, position, o - 1, member_id, p ->> 0, (p ->> 1)::bigint,"
            " (p ->> 2)::bigint, (p ->> 3)::bigint, recorded_at FROM ledger.events,"
            " jsonb_array_elements("
            " convert_from(payload, 'UTF8')::jsonb -> 'postings') WITH ORDINALITY AS x (p, o)"
            " ORDER BY 1, 2, 3"
        ),
    ),
    "balance_changes": (
        (
            "SELECT shard, position, member_id, effective_at, available, pending, reserved,"
            " expired, granted, debt FROM {} ORDER BY 1, 2, 4"
        ),
        (
            "SELECT shard, position, member_id, effective_at, available, pending, reserved,"
            " expired, granted, debt FROM read.balance_changes ORDER BY 1, 2, 4"
        ),
    ),
    "purchases": (
        (
            "SELECT shard, position, member_id, kind, order_id, occurred_at, purchased_at, amount"
            " FROM {} ORDER BY 1, 2"
        ),
        (
            "SELECT shard, position, member_id, kind, order_id, occurred_at, purchased_at, amount"
            " FROM read.member_purchases ORDER BY 1, 2"
        ),
    ),
    "balances": (
        (
            "SELECT member_id, available, pending, reserved, expired, granted, debt, tier FROM {}"
            " ORDER BY 1"
        ),
        'SELECT * FROM read.balances_now ORDER BY member_id COLLATE "C"',
    ),
    "tiers": (
        'SELECT member_id, tier, since, "until" FROM {} ORDER BY 1, 3',
        (
            "SELECT member_id, tier, valid_from, valid_to FROM read.tier_intervals"
            ' ORDER BY member_id COLLATE "C", 3'
        ),
    ),
    "segments": (
        "SELECT member_id, segment, entered_at, left_at FROM {} ORDER BY 1, 2, 3",
        (
            "SELECT member_id, segment, entered_at, left_at FROM read.segment_intervals"
            ' ORDER BY member_id COLLATE "C", 2, 3'
        ),
    ),
    "lots": (
        (
            "SELECT member_id, lot, source, granted, pending, available, reserved, granted_at,"
            " activates_at, expires_at, as_of FROM {} ORDER BY 1, 2"
        ),
        (
            "SELECT member_id, lot, source, granted, pending, available, reserved, granted_at,"
            ' activates_at, expires_at, as_of FROM read.lots ORDER BY member_id COLLATE "C", 2'
        ),
    ),
}
"""By data set: of the files, and of the database."""


def of_files(duck: duckdb.DuckDBPyConnection, folder: Path, name: str, query: str) -> list[Any]:
    """The rows of a query over a data set's files, all that lie there."""
    if not list(folder.glob(f"{name}/day=*/*.parquet")):
        return []
    files = f"read_parquet('{folder}/{name}/*/*.parquet', hive_partitioning = true)"
    return duck.execute(query.replace("{}", files)).fetchall()


def compare(url: str, folder: Path) -> None:
    """Every data set, row by row."""
    assert not list(folder.rglob("*.part"))
    with (
        duckdb.connect(config={"threads": 1}) as duck,
        psycopg.connect(url, options="-c timezone=UTC") as database,
    ):
        duck.execute("SET TimeZone = 'UTC'")
        for name, (files, rows) in COMPARED.items():
            expected = database.execute(rows.encode()).fetchall()
            assert list(map(plain, of_files(duck, folder, name, files))) == list(
                map(plain, expected)
            ), name


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Moments as text: the two name UTC by different objects."""
    return tuple(one.isoformat() if hasattr(one, "isoformat") else one for one in row)
