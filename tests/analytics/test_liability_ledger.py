"""`points liability` on ledgers: against the read models, DuckDB over raw messages, bean-check."""

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import psycopg
import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from analytics.liability_log import KINDS
from cli import liability
from ledger.errors import LedgerError
from projections.runner import Runner
from tests.analytics.conftest import Figures
from tests.projections.conftest import Shop
from tests.projections.history import catch_up, write_history
from tests.projections.log_writer import day, program

Points = Callable[..., Result]

YEAR = ("--from", "2017-01", "--to", "2018-02")


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Points]:
    """Run a `points` command on the ledger of that URL."""
    app = typer.Typer()
    liability.register(app)

    @app.command()
    def other() -> None:
        """Two commands make a group of groups."""

    def on(url: str) -> Points:
        monkeypatch.setenv("POINTS_DATABASE_URL", url)

        def run(*arguments: str) -> Result:
            result = CliRunner().invoke(app, ("liability", *arguments), standalone_mode=False)
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            return result

        return run

    return on


def bean_check(file: Path) -> str:
    """What the program says of a file; empty: it is accepted."""
    ran = subprocess.run(
        [str(Path(sys.executable).parent / "bean-check"), str(file)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert bool(ran.returncode) == bool(ran.stderr.strip())
    return ran.stderr


@pytest.mark.parametrize("seed", range(2))
def test_generated_histories_reconcile(
    shop: Shop, points: Callable[[str], Points], seed: int
) -> None:
    """Returns, debt, late inputs, and a point that becomes dearer within a month. Each month is
    compared with the read models by the command itself."""
    write_history(shop.log, seed, inputs=80)
    shop.log.publish(replace(program(), effective_from=day(100.5), point_value=3))
    write_history(shop.log, seed + 100, inputs=60, first=80)
    catch_up(shop.session)
    run = points(shop.url)
    months = json.loads(run("movement", "--to", "2018-08", "--json").stdout)
    assert [month["month"] for month in months][:3] == ["2017-01", "2017-02", "2017-03"]
    for one, two in zip([None, *months], months, strict=False):
        opening = (two["opening_points"], two["opening_money"])
        assert opening == ((one["closing_points"], one["closing_money"]) if one else (0, 0))
        assert two["opening_points"] + sum(two["points"].values()) == two["closing_points"]
        moved = two["opening_money"] + sum(two["money"].values()) + two["revaluation"]
        assert moved == two["closing_money"]
    assert [month["month"] for month in months if month["revaluation"]] == ["2017-04"]
    assert {"granted", "redeemed", "revoked", "expired"} <= {
        kind for month in months for kind, moved in month["points"].items() if moved
    }
    for by in ("age", "expiry", "rule"):
        found = json.loads(run("--at", "2017-08-01T00:00:00Z", "--by", by, "--json").stdout)
        july = next(month for month in months if month["month"] == "2017-07")
        assert found["total"]["liability"] == july["closing_money"] > 0
        assert sum(bucket["points"] for bucket in found["buckets"]) == july["closing_points"]


def test_a_changed_read_model_is_noticed(shop: Shop, points: Callable[[str], Points]) -> None:
    write_history(shop.log, 3, inputs=20)
    catch_up(shop.session)
    shop.log.connection.execute(
        "UPDATE read.balances SET available = available + 1, step_available ="
        " (SELECT array_agg(n + 1) FROM unnest(step_available) AS n)"
        " WHERE member_id = (SELECT min(member_id) FROM read.balances)"
    )
    with pytest.raises(LedgerError) as refused:
        points(shop.url)("--at", "2017-03-15T00:00:00Z")
    assert refused.value.code == "liability_differs"


def test_all_kinds_of_movements_and_files(
    url: str, points: Callable[[str], Points], tmp_path: Path
) -> None:
    """A log with transfers, merges, closings, adjustments and debt."""
    Runner(url).run(until_caught_up=True)
    run = points(url)
    months = json.loads(run("movement", "--to", "2019-12", "--json").stdout)
    moved = Counter[str]()
    for month in months:
        assert month["points"]["transferred"] == 0, "what one gives another gets"
        moved.update({kind: abs(some) for kind, some in month["points"].items()})
    assert all(moved[kind] for kind in KINDS if kind != "transferred"), moved
    beancount, entries = tmp_path / "owed.beancount", tmp_path / "owed.csv"
    files = ("--beancount", str(beancount), "--csv", str(entries))
    run("export", "--to", "2019-12", "--breakage", "0.2", *files)
    assert bean_check(beancount) == ""
    sums: Counter[tuple[str, str]] = Counter()
    accounts: Counter[str] = Counter()
    for row in csv.DictReader(StringIO(entries.read_text(encoding="utf-8"))):
        sums[row["entry"], row["unit"]] += int(row["amount"])
        accounts[row["account"]] += int(row["amount"])
    assert sums
    assert not any(sums.values())
    assert accounts["Liabilities:Points:Outstanding"] == -months[-1]["closing_points"]
    wrong = beancount.read_text(encoding="utf-8").replace(" POINTS\n", " POINTS\n", 1)
    head, _, tail = wrong.rpartition("balance Liabilities:Points:Outstanding ")
    beancount.write_text(f"{head}balance Liabilities:Points:Outstanding 9{tail.lstrip('-')}")
    assert "Balance failed" in bean_check(beancount)


def test_a_part_of_the_time_opens_with_what_was_there(
    figures: Figures, points: Callable[[str], Points], tmp_path: Path
) -> None:
    run = points(figures.url)
    file = tmp_path / "summer.beancount"
    run("export", "--from", "2017-06", "--to", "2017-08", "--beancount", str(file))
    text = file.read_text(encoding="utf-8")
    assert bean_check(file) == ""
    assert '2017-05-31 * "Opening"' in text
    assert text.count("balance Liabilities:Points:Outstanding") == 3


def test_the_demo_s_movement_is_what_duckdb_finds(
    figures: Figures, points: Callable[[str], Points]
) -> None:
    months = json.loads(points(figures.url)("movement", *YEAR, "--json").stdout)
    ours, before = {}, 0
    for month in months:
        moved = month["points"]
        taken = -moved["revoked"] - moved["debt_paid"] + month["debt"] - before
        before = month["debt"]
        spent = -moved["redeemed"] - moved["restored"]
        flows = {"granted": moved["granted"], "redeemed": spent, "expired": -moved["expired"],
                 "revoked": taken}  # fmt: skip
        ours.update({(month["month"], name): n for name, n in flows.items() if n})
    theirs = figures.raw.execute(
        "SELECT strftime(moment, '%Y-%m'), flow, sum(points)::BIGINT FROM moved"
        " WHERE moment < '2018-03-01' GROUP BY ALL HAVING sum(points) <> 0"
    ).fetchall()
    assert ours == {(month, flow): points for month, flow, points in theirs}
    held = sum(n * (1 if flow == "granted" else -1) for (_, flow), n in ours.items())
    assert months[-1]["closing_points"] - months[-1]["debt"] == held
    assert months[-1]["closing_money"] == 3 * months[-1]["closing_points"]


def test_breakage_and_deferred_revenue_of_the_demo(
    figures: Figures, points: Callable[[str], Points]
) -> None:
    run = points(figures.url)
    found = json.loads(run("breakage", "--at", "2017-12-31T20:59:59Z", "--json").stdout)
    (granted,) = figures.raw.execute(
        "SELECT sum(points)::BIGINT FROM moved WHERE flow = 'granted' AND moment < '2018-01-01'"
    ).fetchone() or (0,)
    assert sum(one["granted"] for one in found["cohorts"]) == granted
    assert 0 < found["greenwood"] < found["error"] < found["expected"] <= found["open"]
    months = json.loads(run("deferred", *YEAR, "--breakage", "0.5", "--json").stdout)
    for month in months:
        out = month["reversed"] + month["redeemed"] + month["breakage"]
        assert month["opening"] + month["deferred"] - out == month["closing"] >= 0
    assert months[-1]["closing"] < months[0]["deferred"] + sum(m["deferred"] for m in months)


def test_every_form(figures: Figures, points: Callable[[str], Points]) -> None:
    run = points(figures.url)
    at = ("--at", "2018-01-01T00:00:00Z")
    rows = list(csv.DictReader(StringIO(run(*at, "--csv").stdout)))
    lines = run(*at).stdout.splitlines()
    assert lines[0].split() == list(rows[0])
    assert len(lines) == len(rows) + 3 > 4, "columns, total, debt"
    for words in (("movement", *YEAR, "--csv"), ("breakage", *at), ("deferred", *YEAR)):
        assert len(run(*words).stdout.splitlines()) > 12


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("movement", "--from", "2017"), "bad_month"),
        (("movement", "--from", "2018-01", "--to", "2017-01"), "no_period"),
        (("deferred", "--breakage", "1"), "bad_share"),
        (("deferred", "--breakage", "some"), "bad_share"),
        (("deferred", "--breakage", "1e-99999999"), "bad_share"),
        (("--at", "today"), "bad_time"),
    ],
)
def test_what_is_refused(
    figures: Figures, points: Callable[[str], Points], words: tuple[str, ...], code: str
) -> None:
    with pytest.raises(LedgerError) as refused:
        points(figures.url)(*words)
    assert refused.value.code == code


def test_read_models_that_are_computed_anew_are_waited_for(
    figures: Figures, points: Callable[[str], Points]
) -> None:
    with psycopg.connect(figures.url, autocommit=True) as owner:
        owner.execute("UPDATE read.positions SET refresh_target = 1 WHERE shard = 0")
        try:
            with pytest.raises(LedgerError) as refused:
                points(figures.url)("--at", datetime(2018, 1, 1, tzinfo=UTC).isoformat())
        finally:
            owner.execute("UPDATE read.positions SET refresh_target = NULL")
    assert refused.value.code == "read_models_refreshing"
