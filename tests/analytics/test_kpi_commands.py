"""`points kpi`: what it prints is what the database says."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import kpi
from ledger.errors import LedgerError
from tests.analytics.conftest import Figures

Points = Callable[..., Result]

YEAR = ("--from", "2017-01-01T00:00:00Z", "--to", "2018-03-01T00:00:00Z")


@pytest.fixture
def points(figures: Figures, monkeypatch: pytest.MonkeyPatch) -> Points:
    """Run a `points` command on the loaded ledger."""
    monkeypatch.setenv("POINTS_DATABASE_URL", figures.url)
    app = typer.Typer()
    kpi.register(app)

    @app.command()
    def other() -> None:
        """Two commands make a group of groups."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments, standalone_mode=False)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.mark.parametrize(
    "name", ["sales", "points", "campaigns", "retention", "churn", "referrals", "rfm"]
)
def test_every_figure_in_every_form(points: Points, name: str) -> None:
    period = YEAR if name != "rfm" else ("--at", "2018-01-01T00:00:00Z")
    as_json = json.loads(points("kpi", name, *period, "--json").stdout)
    as_csv = list(csv.DictReader(io.StringIO(points("kpi", name, *period, "--csv").stdout)))
    assert as_json
    assert [list(row) for row in as_csv] == [list(row) for row in as_json]
    lines = points("kpi", name, *period).stdout.splitlines()
    assert lines[0].split() == list(as_json[0])
    assert len(lines) == 1 + len(as_json)


def test_a_dimension_and_a_grain(points: Points, figures: Figures) -> None:
    rows = json.loads(
        points("kpi", "sales", *YEAR, "--by", "store", "--grain", "all", "--json").stdout
    )
    (total,) = json.loads(points("kpi", "sales", *YEAR, "--grain", "all", "--json").stdout)
    assert sum(row["amount"] for row in rows) == total["amount"]
    ((amount,),) = figures.raw.execute("SELECT sum(amount)::BIGINT FROM baskets").fetchall()
    assert total["amount"] == amount


def test_without_a_period_all_is_told(points: Points) -> None:
    (total,) = json.loads(points("kpi", "sales", "--grain", "all", "--json").stdout)
    (year,) = json.loads(points("kpi", "sales", *YEAR, "--grain", "all", "--json").stdout)
    assert total["purchases"] == year["purchases"]
    # Registered before anybody had bought.
    (funnel,) = json.loads(points("kpi", "referrals", "--grain", "all", "--json").stdout)
    assert funnel["registered"] == 25


def test_customer_value(points: Points) -> None:
    at = ("--at", "2018-01-01T00:00:00Z")
    done = points("kpi", "value", *at, "--days", "90", "--json")
    assert done.stderr == ""
    shown = json.loads(done.stdout)
    assert len(shown["members"]) == 50
    assert 0 < shown["members"][0]["predicted_alive"] <= 1
    assert shown["models"]["buying"]["alpha"] > 0
    rows = points("kpi", "value", *at, "--csv").stdout.splitlines()
    assert rows[0].startswith("member_id,purchases,amount,returned,value,")
    early = points("kpi", "value", "--at", "2017-01-02T12:00:00Z", "--csv")
    assert "no prediction" in early.stderr
    assert "predicted" not in early.stdout.splitlines()[0]


def test_holdout_and_uplift(points: Points, tmp_path: Path) -> None:
    group = points("kpi", "holdout", "summer-basket", "--percent", "20").stdout.split()
    others = points("kpi", "holdout", "summer-basket", "--percent", "20", "--others").stdout.split()
    assert len(group) + len(others) == 50
    assert not set(group) & set(others)
    (tmp_path / "group.txt").write_text("\n".join(group))
    file = ("--holdout-file", str(tmp_path / "group.txt"))
    summer = ("--from", "2017-06-01T00:00:00Z", "--to", "2017-09-01T00:00:00Z")
    shown = json.loads(points("kpi", "uplift", "summer-basket", *summer, *file, "--json").stdout)
    percent = ("--holdout-percent", "20", "--json")
    assert shown == json.loads(points("kpi", "uplift", "summer-basket", *summer, *percent).stdout)
    assert shown["holdout_members"] == len(group)
    told = points("kpi", "uplift", "summer-basket", *summer, *file)
    assert "roi" in told.stdout
    assert "understated" in told.stderr


def test_what_is_refused(points: Points) -> None:
    with pytest.raises(LedgerError) as refused:
        points("kpi", "sales", "--from", "2018-01-01T00:00:00Z", "--to", "2017-01-01T00:00:00Z")
    assert refused.value.code == "no_period"
    with pytest.raises(LedgerError) as refused:
        points("kpi", "sales", "--from", "yesterday")
    assert refused.value.code == "bad_time"
    for arguments in (("uplift", "base"), ("sales", "--csv", "--json"), ("sales", "--by", "hue")):
        with pytest.raises(Exception, match=r"hold-out group|not both|hue"):
            points("kpi", *arguments)
