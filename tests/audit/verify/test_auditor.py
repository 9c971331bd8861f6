"""A login that is a member of `points_auditor` and of nothing else: what it can do, and cannot."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner, Result

from cli.app import app

MOMENT = "2026-03-01T00:00:00Z"


def points(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def auditor(
    url: str, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The commands run under the login."""
    name = f"auditor_{uuid4().hex[:8]}"
    login = sql.Identifier(name)
    owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'a'").format(login))
    owner.execute(sql.SQL("GRANT points_auditor TO {}").format(login))
    monkeypatch.setenv("POINTS_DATABASE_URL", f"postgresql://{name}:a@{url.partition('@')[2]}")
    monkeypatch.setenv("POINTS_KAFKA_BOOTSTRAP", "localhost:1")
    yield
    owner.execute(sql.SQL("DROP ROLE {}").format(login))


@pytest.mark.usefixtures("auditor")
def test_every_audit_is_an_auditors(owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    found = owner.execute(
        "SELECT member_id, shard, position FROM ledger.events WHERE type = 'PurchaseRewarded'"
        " AND member_id NOT LIKE '~%' ORDER BY recorded_at DESC LIMIT 1"
    ).fetchone()
    assert found is not None
    member, shard, position = found
    key, public = tmp_path / "signs", tmp_path / "checks"
    held = tmp_path / "checkpoints"
    newest = held / "checkpoint-00000001.json"
    for command in (
        ("audit", "keygen", key, public),
        ("audit", "checkpoint", "--out", held, "--key", key, "--no-kafka"),
        ("audit", "prove", f"{shard}:{position}", "--checkpoint", newest),
        ("audit", "verify", "--jobs", 1, "--checkpoint", held, "--public-key", public),
        ("audit", "redecide", "--jobs", 2),
        ("audit", "replay", "--jobs", 2, "--no-decide"),
        ("audit", "replay", "--keep", "--no-decide"),
        ("audit", "replay", "--discard"),
        ("explain", member, "--rules"),
        ("history", member, "--lang", "ru"),
        ("balance", member, "--at", MOMENT),
        ("balance", member, "--by", "recorded"),
        ("balances", "--at", MOMENT, "--lots"),
        ("balances", "--by", "recorded"),
        ("liability",),
        ("liability", "movement"),
    ):
        done = points(*command)
        assert done.exit_code == 0, (command, done.output, done.exception)


@pytest.mark.usefixtures("auditor")
def test_a_difference_is_found_by_an_auditor(owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        "UPDATE read.balances SET granted = granted + 1 WHERE member_id ="
        " (SELECT min(member_id) FROM read.balances)"
    )
    done = points("audit", "replay", "--no-decide", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["first_difference"]["column"] == "granted"


@pytest.mark.usefixtures("auditor")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("projections run --until-caught-up", "not_allowed"),
        ("projections rebuild tiers", "not_owner"),
    ],
)
def test_what_more_is_needed_for_is_said(command: str, code: str) -> None:
    done = points(*command.split())
    assert getattr(done.exception, "code", None) == code, done.exception
