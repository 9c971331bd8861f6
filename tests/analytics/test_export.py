"""An export: what DuckDB reads is what the database holds; a second run adds only what is new."""

from pathlib import Path

import duckdb
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from analytics.errors import AnalysisRefused
from analytics.export import export
from analytics.export_files import MANIFEST
from cli.app import app
from projections.runner import Runner
from tests.analytics.exported import compare, of_files
from tests.projections.conftest import Shop, shop, template
from tests.projections.log_writer import day, purchase

__all__ = ["shop", "template"]  # fixtures of the projections' tests


def bought(shop: Shop, first: int, count: int) -> None:
    """Purchases of seven members, folded."""
    for number in range(first, first + count):
        shop.log.take(f"m{number % 7}", purchase(f"o{number}", day(number), (9_900 + number, 100)))
    Runner(shop.url).run(until_caught_up=True)


def test_files_equal_the_database_and_a_second_run_adds_only_news(
    shop: Shop, tmp_path: Path
) -> None:
    bought(shop, 0, 60)
    first = export(shop.url, tmp_path, rows_at_once=50)
    assert first.files > 10
    compare(shop.url, tmp_path)

    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    again = export(shop.url, tmp_path)
    assert again == ({}, 0)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == files

    before = parquet.read_table(tmp_path / "log").num_rows
    bought(shop, 60, 5)
    more = export(shop.url, tmp_path)
    assert 5 <= more.rows["log"] <= 10
    assert parquet.read_table(tmp_path / "log").num_rows == before + more.rows["log"]
    compare(shop.url, tmp_path)

    anew = export(shop.url, tmp_path, since_last=False)
    assert anew.rows["log"] == before + more.rows["log"]
    compare(shop.url, tmp_path)


def test_types_and_days(shop: Shop, tmp_path: Path) -> None:
    bought(shop, 0, 3)
    export(shop.url, tmp_path)
    (file, *_) = tmp_path.glob("postings/day=*/*.parquet")
    schema = parquet.read_schema(file)
    assert str(schema.field("points").type) == "int64"
    assert str(schema.field("effective_at").type) == "timestamp[us, tz=UTC]"
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        wrong = "SELECT count(*) FROM {} WHERE day <> recorded_at::DATE"
        for name in ("log", "postings", "purchases", "balance_changes"):
            assert of_files(duck, tmp_path, name, wrong) == [(0,)]


def test_what_a_killed_run_left_goes(shop: Shop, tmp_path: Path) -> None:
    bought(shop, 0, 3)
    export(shop.url, tmp_path)
    (file, *_) = tmp_path.glob("log/day=*/*.parquet")
    for left in ("part-99999998.parquet", "part-99999999.parquet.part"):
        (file.parent / left).write_bytes(file.read_bytes())
    export(shop.url, tmp_path)
    compare(shop.url, tmp_path)


def test_another_ledgers_folder_is_refused(shop: Shop, tmp_path: Path) -> None:
    export(shop.url, tmp_path, ["log"])
    manifest = tmp_path / MANIFEST
    for text in ("{}", manifest.read_text().replace('"ledger_id": "', '"ledger_id": "0')):
        manifest.write_text(text)
        with pytest.raises(AnalysisRefused) as refused:
            export(shop.url, tmp_path)
        assert refused.value.code == "other_export"


def test_the_command(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTS_DATABASE_URL", shop.url)
    bought(shop, 0, 3)
    asked = ["export", "--out", str(tmp_path), "--what"]
    done = CliRunner().invoke(app, [*asked, "balances,purchases", "--json"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {MANIFEST, "balances", "purchases"}
    assert CliRunner().invoke(app, [*asked, "balances,nothing"]).exit_code != 0
