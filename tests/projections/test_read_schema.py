"""The schema that others read: documented, and read-only for its readers."""

import psycopg
import pytest

from tests.projections.conftest import Shop
from tests.projections.history import catch_up, write_history


def test_every_table_view_column_and_function_is_documented(shop: Shop) -> None:
    bare = shop.session.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'read'::regnamespace "
        "AND c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL "
        "UNION ALL SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'read'::regnamespace "
        "AND obj_description(p.oid, 'pg_proc') IS NULL"
    ).fetchall()
    assert bare == []
    columns = shop.session.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'read'::regnamespace AND c.relkind = 'v' AND a.attnum > 0 "
        "AND col_description(c.oid, a.attnum) IS NULL"
    ).fetchall()
    assert columns == []


def test_a_reader_reads_and_nothing_else(shop: Shop) -> None:
    write_history(shop.log, 31, inputs=20)
    catch_up(shop.session)
    reader = shop.log.connection
    reader.execute("SET ROLE points_reader")
    for query in (
        "SELECT * FROM read.balances_now",
        "SELECT * FROM read.balance_of('m1', now())",
        "SELECT * FROM read.segments_now",
        "SELECT * FROM read.tiers_now",
        "SELECT * FROM read.tier_progress",
        "SELECT * FROM read.lots",
        "SELECT * FROM read.rfm_at(now())",
        "SELECT * FROM read.progress",
    ):
        reader.execute(query)
    for query in (
        "DELETE FROM read.balances",
        "INSERT INTO read.positions (projection, shard) VALUES ('x', 1)",
        "SELECT * FROM ledger.events",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(query)
