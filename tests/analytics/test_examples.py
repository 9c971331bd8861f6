"""The examples for analysts run over an export, and say what the database says."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from analytics.export import export
from tests.analytics.conftest import Figures

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def exported(figures: Figures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of sixty households' year."""
    folder = tmp_path_factory.mktemp("export")
    export(figures.url, folder)
    return folder


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB, its moments in UTC."""
    with duckdb.connect(config={"threads": 1}) as found:
        found.execute("SET TimeZone = 'UTC'")
        yield found


def of_database(figures: Figures, query: str) -> list[Any]:
    """Rows of the read models."""
    return figures.reader.execute(query.encode()).fetchall()


def test_the_notebook(figures: Figures, exported: Path, duck: duckdb.DuckDBPyConnection) -> None:
    text = (EXAMPLES / "points.sql").read_text(encoding="utf-8")
    cells = dict(re.findall(r"^-- # (.+?)\n(.+?)(?=^-- # |\Z)", text, re.MULTILINE | re.DOTALL))
    assert len(cells) == 7
    here = Path.cwd()
    os.chdir(exported)
    try:
        found = {name: duck.execute(query).fetchall() for name, query in cells.items()}
    finally:
        os.chdir(here)
    assert found["Every event's postings sum to zero: no row is right"] == []
    top = (
        "SELECT member_id, available, pending, tier FROM read.balances_now"
        ' ORDER BY available DESC, member_id COLLATE "C" LIMIT 10'
    )
    assert found["The ten members with the most points"] == of_database(figures, top)
    granted = sum(row[2] for row in found["Points by rule, from the events themselves"])
    assert of_database(figures, "SELECT sum(granted) FROM read.balances") == [(granted,)]
    amount = sum(row[1] for row in found["Turnover and buyers by month"])
    expected = "SELECT sum(amount)::bigint FROM read.sales WHERE member_id IS NOT NULL"
    assert of_database(figures, expected) == [(amount,)]


def test_the_dbt_models(figures: Figures, exported: Path, duck: duckdb.DuckDBPyConnection) -> None:
    models = EXAMPLES / "dbt" / "models"
    schema = yaml.safe_load((models / "schema.yml").read_text(encoding="utf-8"))
    (source,) = schema["sources"]
    location = source["meta"]["external_location"]
    location = location.replace('{{ var("points_export") }}', str(exported))
    tables = {table["name"] for table in source["tables"]}

    def source_of(match: re.Match[str]) -> str:
        assert match[1] == source["name"]
        assert match[2] in tables
        return str(location.replace("{name}", match[2]))

    texts = {file.stem: file.read_text(encoding="utf-8") for file in models.glob("*.sql")}
    assert set(texts) == {model["name"] for model in schema["models"]}
    waiting = dict(texts)
    while waiting:  # a model after those that it refers to
        refs = {name: re.findall(r"ref\('(\w+)'\)", text) for name, text in waiting.items()}
        name = next(one for one, others in refs.items() if not waiting.keys() & set(others))
        query = re.sub(r"\{\{ source\('(\w+)', '(\w+)'\) \}\}", source_of, waiting.pop(name))
        query = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"\1", query)
        assert "{{" not in query
        duck.execute(f"CREATE VIEW {name} AS {query}")
    for model in schema["models"]:
        for column in model["columns"]:
            of = (
                f"FROM {model['name']} GROUP BY ALL HAVING count(*) > 1 OR {column['name']} IS NULL"
            )
            if "unique" in column["tests"]:
                assert duck.execute(f"SELECT {column['name']} {of}").fetchall() == []
    found = duck.execute("SELECT member_id, available, tier, amount FROM members ORDER BY 1")
    assert found.fetchall() == of_database(
        figures,
        "SELECT b.member_id, available, tier, coalesce(sum(amount), 0)::bigint"
        " FROM read.balances_now b LEFT JOIN read.sales s ON s.member_id = b.member_id"
        ' GROUP BY b.member_id, available, tier ORDER BY b.member_id COLLATE "C"',
    )
