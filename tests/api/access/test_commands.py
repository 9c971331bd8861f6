"""`points api keys`, `trail` and `person`: the first key needs no key."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from api.access.keys import KeyRefused
from api.access.tokens import person_id
from cli import api_access
from cli.app import app
from tests.api.access.callers import Api, code_of

Play = Callable[..., Any]


@pytest.fixture
def points(access_url: str) -> Callable[..., Any]:
    """Run `points api …` with --json; what it printed."""

    def run(*arguments: str, fails: bool = False, plain: bool = False) -> Any:
        more = [] if plain else ["--json"]
        result = CliRunner().invoke(
            app, ["api", *arguments, *more], env={"POINTS_DATABASE_URL": access_url}
        )
        if fails:
            assert result.exit_code != 0
            return result.exception
        assert result.exit_code == 0, result.output
        return result.stdout.strip() if plain else json.loads(result.stdout)

    return run


def test_a_key_from_its_making_to_its_end(points: Callable[..., Any], play: Play) -> None:
    made = points("keys", "create", "--client", "crm", "--role", "viewer", "--expires", "90d")
    key_id = made["key"]["id"]
    ends = datetime.fromisoformat(made["key"]["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < ends < timedelta(days=91)
    refused = points("keys", "create", "--client", "crm", "--role", "viewer", fails=True)
    assert isinstance(refused, KeyRefused)
    assert refused.code == "client_has_key"
    newer = points("keys", "rotate", key_id, "--grace", "1h", "--expires", "never")
    assert newer["key"]["expires_at"] is None

    async def both(api: Api) -> None:
        for secret in (made["secret"], newer["secret"]):
            assert (await api.call("GET", "/v1/me", secret)).json()["client"] == "crm"

    play(both)
    assert points("keys", "revoke", newer["key"]["id"])["state"] == "revoked"

    async def ended(api: Api) -> None:
        assert code_of(await api.call("GET", "/v1/me", newer["secret"])) == (401, "key_revoked")

    play(ended)
    listed = points("keys", "list")["keys"]
    assert newer["key"]["id"] not in [key["id"] for key in listed]
    every = points("keys", "list", "--ended")["keys"]
    assert {key["state"] for key in every if key["client"] == "crm"} == {"valid", "revoked"}
    secret = made["secret"].rpartition("_")[2]
    rows = points("trail", "--kind", "command")["audit_trail"]
    assert [row["operation"] for row in rows] == ["revoke_key", "rotate_key", "create_key"]
    assert secret not in json.dumps([listed, every, rows])
    assert key_id in points("keys", "list", plain=True)
    assert "revoke_key" in points("trail", plain=True)


def test_a_key_that_is_not_made_is_not_in_the_trail(points: Callable[..., Any]) -> None:
    before = points("trail", "--kind", "command")["audit_trail"]
    refused = points("keys", "create", "--client", "x", "--role", "approver", fails=True)
    assert refused.code == "person_needed"
    assert points("trail", "--kind", "command")["audit_trail"] == before


def test_a_person_of_the_issuer(points: Callable[..., Any]) -> None:
    told = points("person", "anna", "--issuer", "https://login.example", plain=True)
    assert told == person_id("https://login.example", "anna")


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "0d", "1 d", "1y"])
def test_spans_that_are_none(text: str) -> None:
    with pytest.raises((typer.BadParameter, click.BadParameter)):
        api_access.span_of(text, "--grace")
