"""Two schemas are compared page by page: as many rows as a page may have, found by their keys."""

import pytest

from projections import comparing
from projections.comparing import compare, pages
from projections.runner import read_models
from tests.projections.conftest import Shop
from tests.projections.history import catch_up, write_history

ROWS = 7

FROM_END_TO_END = (
    "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE schemaname = 'read' ORDER BY 1"
)
"""Of each table, how often it was read so, by what the session did last and has not reported."""


def test_every_page_but_a_tables_last_has_as_many_rows_as_a_page_may(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the keys, in which position 10 comes after 9: by their texts it does not, and
    a page would be any number of rows, found by sorting all of the table that is left."""
    write_history(shop.log, 4)
    catch_up(shop.session)
    monkeypatch.setattr(comparing, "PAGE_ROWS", ROWS)
    tables = [table for model in read_models() for table in model.tables]
    rows: dict[str, list[int]] = {}
    with shop.session.transaction():
        before = shop.session.execute(FROM_END_TO_END).fetchall()
        for page in pages(shop.session, "read", tables):
            rows.setdefault(page.table.name, []).append(compare(shop.session, "read", page).rows)
        assert shop.session.execute(FROM_END_TO_END).fetchall() == before
    assert {count for counts in rows.values() for count in counts[:-1]} == {ROWS}
    assert all(counts[-1] <= ROWS for counts in rows.values())
    assert max(map(len, rows.values())) > 10
