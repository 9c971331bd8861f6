"""The past under another program: an equal one gives what is recorded, another what it says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from analytics import backtest
from analytics.backtest import Result
from analytics.backtest_report import as_json, estimate, lines
from analytics.backtest_shard import Options
from analytics.backtest_tally import AFTER, BEFORE
from cli.app import app
from ledger.core.calendar import to_instant
from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from ledger.errors import LedgerError
from tests.audit.logs import BEYOND, RULES
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import day

END = to_instant(day(300))
"""When the log's second version begins."""


def program(*changes: tuple[str, str]) -> Program:
    """The recorded program with some text changed."""
    text = PROGRAM.read_text(encoding="utf-8").replace("\ntiers:", RULES + "tiers:", 1) + BEYOND
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return load_program(text, "other.yaml")


def lived(url: str, *changes: tuple[str, str], **options: Any) -> Result:
    """A back-test of the first version's time under a changed program."""
    result = backtest.run(url, program(*changes), Options(end=END, **{"jobs": 1, **options}))
    assert result.tally.left_out == []
    return result


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_equal_program_gives_exactly_what_is_recorded(url: str, jobs: int) -> None:
    result = lived(url, jobs=jobs)
    tally = result.tally
    assert tally.identical == tally.inputs > 250, "each decision is the stored one"
    assert tally.before == tally.after
    for rows in tally.groups.values():
        for row in rows.values():
            for pair in (row.points, row.awards, row.cost):
                assert pair[BEFORE] == pair[AFTER]
    assert (tally.winners, tally.losers, tally.shortfall, tally.changed) == (0, 0, 0, [])
    assert all(before == after for before, after in tally.tiers)
    assert all(before == after for before, after in tally.budgets.values())
    assert result.effects > 10
    assert "every decision is the recorded one" in lines(result)


def test_what_is_recorded_is_what_the_log_says(url: str, owner: psycopg.Connection[Any]) -> None:
    """The columns `before` are sums over the stored events."""
    result = lived(url)
    rows = owner.execute(
        """SELECT a->>'rule', sum((a->>'points')::bigint)::bigint
        FROM ledger.events, jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb->'awards') a
        WHERE occurred_at < %s AND a->>'kind' NOT IN ('adjustment', 'welcome') GROUP BY 1""",
        [day(300)],
    ).fetchall()
    found = {rule: row.points[BEFORE] for rule, row in result.tally.groups["rule"].items()}
    assert found == {rule: points for rule, points in rows if points}


def test_a_rate_that_is_doubled(url: str, owner: psycopg.Connection[Any]) -> None:
    """What the base rule would give, reckoned from the purchases alone."""
    result = lived(url, ("points: 1, per_amount: 100", "points: 2, per_amount: 100"))
    (expected,) = owner.execute(
        """SELECT sum(floor(amount * 2 / 100))::bigint FROM (
            SELECT (SELECT sum((l->>'amount')::numeric)
                FROM jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb->'purchase'->'lines')
                    AS l) AS amount
            FROM ledger.events WHERE type = 'PurchaseRewarded' AND occurred_at < %s) AS p""",
        [day(300)],
    ).fetchone() or (0,)
    assert result.tally.groups["rule"]["base"].points[AFTER] == expected
    tally = result.tally
    assert tally.winners > tally.losers == 0
    assert tally.won == tally.after.net - tally.before.net
    assert tally.after.liability == tally.after.outstanding
    assert [one.change for one in tally.changed] == sorted(
        (one.change for one in tally.changed), reverse=True
    )


def test_what_was_spent_stays_spent(url: str) -> None:
    """Hardly anything is earned: what was spent is missing, and is told."""
    result = lived(url, ("points: 1, per_amount: 100", "points: 1, per_amount: 1000000"), top=1_000)
    tally = result.tally
    assert tally.shortfall > 0
    assert tally.shortfall == sum(one.shortfall for one in tally.short)
    assert tally.members_short == len(tally.short)
    assert tally.losers > 0
    assert tally.after.outstanding >= 0
    plenty = lived(url, ("points: 1, per_amount: 100", "points: 900, per_amount: 100"))
    assert plenty.tally.shortfall == 0
    assert plenty.tally.after.spent >= tally.after.spent


def test_rewards_for_referrals_are_those_of_the_program(url: str) -> None:
    recorded = lived(url).tally.groups["rule"]["referral"].points[BEFORE]
    richer = lived(url, ("referrer: {fixed: 100}", "referrer: {fixed: 350}"))
    row = richer.tally.groups["rule"]["referral"]
    assert row.points[BEFORE] == recorded
    # One of the rewards came from outside, as a message of its own, and stays as it was.
    rewards = (row.points[AFTER] - row.points[BEFORE]) // 250
    assert row.points[AFTER] == recorded + 250 * rewards
    assert rewards > 5
    stricter = lived(url, ("first_purchase: {at_least: 2000", "first_purchase: {at_least: 90000"))
    assert stricter.tally.groups["rule"]["referral"].points[AFTER] < recorded
    easier = lived(url, ("first_purchase: {at_least: 2000", "first_purchase: {at_least: 0"))
    assert easier.tally.groups["rule"]["referral"].points[AFTER] > recorded, "and some are new"


def test_tiers_and_returns_go_along(url: str) -> None:
    easier = lived(url, ("{id: gold, at_least: 100000}", "{id: gold, at_least: 50000}")).tally
    assert sum(n for (a, b), n in easier.tiers.items() if (a, b) == ("none", "gold")) > 0
    assert not any((a, b) == ("gold", "none") for a, b in easier.tiers)
    gold = easier.groups["tier"]["gold"]
    assert gold.points[AFTER] > gold.points[BEFORE]
    shorter = lived(url, ("window: P30D", "window: P1D")).tally
    assert shorter.after.taken < shorter.before.taken


def test_budgets_that_are_asked_too_much_are_told(url: str) -> None:
    result = lived(url, ("points: 7}", "points: 8}"))
    before, after = result.tally.budgets["spring"]
    assert before <= 7 < after
    (note,) = as_json(result)["warnings"]
    assert note.startswith(f"budget spring has 8, and {after} of it would be asked for")


def test_only_from_a_moment_on(url: str) -> None:
    start = to_instant(day(20))
    late = lived(url, ("points: 1, per_amount: 100", "points: 2, per_amount: 100"), start=start)
    whole = lived(url, ("points: 1, per_amount: 100", "points: 2, per_amount: 100"))
    assert 0 < late.tally.inputs < whole.tally.inputs
    assert 0 < late.tally.won < whole.tally.won
    equal = lived(url, start=start).tally
    assert equal.identical == equal.inputs
    assert equal.before == equal.after


def test_a_sample_is_the_same_each_time_and_says_its_error(url: str) -> None:
    change = ("points: 1, per_amount: 100", "points: 2, per_amount: 100")
    whole = lived(url, change)
    one, again = (lived(url, change, sample=50, seed=3) for _ in range(2))
    assert as_json(one) == as_json(again)
    assert 0 < one.tally.members < one.all_members == whole.tally.members
    total, error = estimate(one, "points")
    assert error > 0
    truth = whole.tally.after.net - whole.tally.before.net
    assert abs(total - truth) < 4 * error
    assert estimate(whole, "points") == (truth, 0)
    assert as_json(lived(url, change, sample=50, seed=4)) != as_json(one)


@pytest.mark.parametrize(
    ("changes", "options", "code"),
    [
        ([("currency: USD", "currency: EUR")], {}, "other_currency"),
        ([], {"start": END + 1, "end": END}, "empty_range"),
        ([], {"end": to_instant(day(-90))}, "empty_range"),
        ([], {"sample": 0.0}, "bad_sample"),
        ([], {"sample": 101.0}, "bad_sample"),
    ],
)
def test_what_cannot_be_tested_is_refused(
    url: str, changes: list[tuple[str, str]], options: dict[str, Any], code: str
) -> None:
    with pytest.raises(LedgerError) as refused:
        backtest.run(url, program(*changes), Options(jobs=1, **options))
    assert refused.value.code == code


def test_a_condition_that_nobody_had_asked_for(url: str) -> None:
    result = lived(url, ("{tag: vip}", "{segment: rich}"), ("charities:", SEGMENTS + "charities:"))
    (note,) = [one for one in as_json(result)["warnings"] if "segments" in one]
    assert note == "no recorded decision asked for these segments, so they never hold: rich"
    assert "regulars" not in {
        rule for rule, row in result.tally.groups["rule"].items() if row.points[AFTER]
    }


SEGMENTS = "segments: [{id: rich, when: {balance: {at_least: 1}}}]\n"


@dataclass(frozen=True)
class Told:
    code: int
    out: str


def points(url: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> Told:
    monkeypatch.setenv("POINTS_DATABASE_URL", url)
    monkeypatch.setenv("POINTS_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    found = CliRunner().invoke(app, ["program", "backtest", *words])
    return Told(found.exit_code, found.stdout)


def test_the_command_and_its_files(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PROGRAM.read_text(encoding="utf-8").replace("points: 1,", "points: 3,")
    file = tmp_path / "next.yaml"
    file.write_text(text, encoding="utf-8")
    told = points(
        url,
        monkeypatch,
        *(str(file), "--jobs", "1", "--to", "2017-10-29T12:00:00Z", "--json"),
        *("--parquet", str(tmp_path / "data"), "--charts", str(tmp_path / "charts")),
    )
    assert told.code == 0
    report = json.loads(told.out)
    members: list[dict[str, Any]] = []
    for path in sorted((tmp_path / "data").glob("members-*.parquet")):
        members += pq.read_table(path).to_pylist()
    assert len(members) == report["members"]
    assert sum(one["granted_after"] for one in members) == report["after"]["granted"]
    assert sum(one["liability_before"] for one in members) == report["before"]["liability"]
    groups = pq.read_table(tmp_path / "data" / "groups.parquet").to_pylist()
    (base,) = (row for row in groups if (row["group"], row["key"]) == ("rule", "base"))
    assert base["points_after"] == report["groups"]["rule"]["base"]["points"]["after"]
    page = (tmp_path / "charts" / "backtest.html").read_text(encoding="utf-8")
    drawn = sorted(path.name for path in (tmp_path / "charts").glob("*.png"))
    assert drawn == [
        "by-month.png",
        "by-rule.png",
        "by-segment.png",
        "by-store.png",
        "by-tier.png",
        "most-changed.png",
    ]
    assert page.count("data:image/png;base64,") == len(drawn)
    assert "src=" not in page.replace('src="data:', "")
    shown = points(url, monkeypatch, str(file), "--jobs", "1", "--sample", "60")
    assert shown.code == 0
    assert "a sample of 60 % (seed 0)" in shown.out
    assert "Points granted by rule" in shown.out


def test_a_file_that_is_no_program(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert points(url, monkeypatch, str(tmp_path / "none.yaml")).code == 1
    file = tmp_path / "bad.yaml"
    file.write_text("program: x\n", encoding="utf-8")
    assert points(url, monkeypatch, str(file)).code == 1
