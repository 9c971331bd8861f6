"""The scale run in small: the log that it writes is one that the audit finds whole, and a run that
was broken off goes on with the step that it did not finish."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from benchmarks.scale import __main__ as command
from benchmarks.scale import database, report, state, steps, watch
from benchmarks.scale.__main__ import Run
from benchmarks.scale.watch import Took
from deploy import embedded
from ledger.errors import LedgerError

EVENTS, MEMBERS = 800, 40

WANTED = ("verify", "decide", steps.AS_OF)

Commands = list[str]


@pytest.fixture
def own(services: embedded.Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of the log, in databases of this test's own."""
    name = f"scale_{uuid4().hex[:12]}"
    monkeypatch.setattr(database, "LOG", name)
    monkeypatch.setattr(database, "HISTORIES", f"{name}_histories")
    monkeypatch.setattr(command, "SIZES", (1.0,))  # each size more is three processes more
    yield database.url_of(services, name)
    database.drop(services, name)
    database.drop(services, f"{name}_histories")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """What was run, as it is; the one that begins with `stop` is broken off."""
    ran: Commands = []
    real = watch.run

    def run(
        arguments: Sequence[str],
        environment: Mapping[str, str],
        postgres: int,
        events: int,
        log: Path,
        module: str = "cli.main",
    ) -> tuple[Took, str]:
        name = " ".join(arguments[:2]) if module == "cli.main" else "grow"
        if ran[:1] == ["stop"] and name == "audit redecide":
            ran.pop(0)
            raise KeyboardInterrupt
        ran.append(name)
        return real(arguments, environment, postgres, events, log, module)

    monkeypatch.setattr(watch, "run", run)
    return ran


def test_the_log_is_whole_and_a_run_that_was_broken_off_goes_on(
    own: str, services: embedded.Services, commands: Commands, tmp_path: Path
) -> None:
    commands.append("stop")
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, EVENTS, MEMBERS, WANTED).measure(services)
    assert commands == ["grow", "audit verify"]
    commands.clear()
    Run(tmp_path, EVENTS, MEMBERS, WANTED).measure(services)
    assert commands == ["audit redecide"]
    commands.clear()
    run = Run(tmp_path, EVENTS, MEMBERS, WANTED)
    run.measure(services)
    assert commands == []

    found = json.loads(json.dumps(report.as_json(run.state)))
    check_figures(found)
    with psycopg.connect(own) as connection:
        counts = connection.execute(
            "SELECT count(*), count(DISTINCT account_id), count(DISTINCT type)"
            " FROM ledger.events WHERE shard >= 0"
        ).fetchone()
    assert counts is not None
    assert counts[:2] == (found["events"], MEMBERS)
    assert counts[2] >= 5
    for size in found["sizes"]:
        verified = json.loads((tmp_path / f"{size['events']}-verify.log").read_text())
        assert verified["ok"]
        assert (
            sum(shard["events"] for shard in verified["shards"]) == size["events"] + 2
        )  # the ledger's
        assert sum(shard["inputs"] for shard in verified["shards"]) > size["events"] // 3
        decided = json.loads((tmp_path / f"{size['events']}-decide.log").read_text())
        assert decided["equal"]
        assert (decided["events"], decided["accounts"]) == (size["events"], size["members"])


def check_figures(found: dict[str, Any]) -> None:
    assert abs(found["events"] - EVENTS) <= 2  # the last history is a whole number of decisions
    assert found["members"] == MEMBERS
    assert found["seconds"] > 0
    assert [size["members"] for size in found["sizes"]] == [MEMBERS]
    for size in found["sizes"]:
        assert list(size["steps"]) == ["grow", "verify", "decide"]
        assert size["bytes_per_event"] > 0
        assert 0 < size["as_of_ms"]["median"] <= size["as_of_ms"]["max"]
        for step in size["steps"].values():
            assert step["events"] > 0
            assert step["wall_us_per_event"] > 0
            assert step["cpu_us_per_event"] > 0
            assert step["peak_mib"] > 10


def test_growth_is_told_of_what_was_measured_at_more_than_one_size() -> None:
    took = [Took(100, 2.0, 1.0, 1.0, 80, 5), Took(1_000, 9.0, 10.0, 5.0, 88, 5)]
    sizes = [
        state.Size(100, 10, {"verify": took[0], "back-test": took[0]}, (1.0, 2.0), 5_000),
        state.Size(1_000, 100, {"verify": took[1]}, (1.0, 3.0), 40_000),
    ]
    found = state.State(1_000, 100, sizes)
    assert report.growth(found) == {"verify": {"cpu": [1.0, 0.75], "peak": [1.0, 1.1]}}
    text = report.text(found)
    assert "| verify | 1,000 | 1,000 | 9 | 9,000 | 10,000 | 5,000 | 88 | 5 |" in text
    assert "| 1,000 | 100 | 1.0 | 3.0 | 40 |" in text


def test_another_run_in_the_folder_is_not_mixed_with_it(tmp_path: Path) -> None:
    state.store(tmp_path, state.State(2_000, 100))
    with pytest.raises(LedgerError) as raised:
        Run(tmp_path, 2_000, 200, WANTED)
    assert raised.value.code == "other_run"
    assert "--fresh" in raised.value.message


def test_a_command_that_fails_ends_the_run_and_is_told(
    services: embedded.Services, tmp_path: Path
) -> None:
    with pytest.raises(LedgerError) as raised:
        watch.run(("audit", "no-such"), {}, services.postgres_pid, 1, tmp_path / "log")
    assert raised.value.code == "step_failed"
    assert "audit no-such" in raised.value.message


def test_help_names_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    for name in steps.NAMES:
        assert name in out


def test_what_cannot_be_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["--events", "10", "--members", "100"])
    assert end.value.code == 2
    assert "--events" in capsys.readouterr().err
