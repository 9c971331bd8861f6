"""`points codes`, on a real ledger."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from cli.app import app
from deploy.embedded import Services
from ledger.core.program.load import load_program
from ledger.errors import LedgerError
from tests.databases import new_ledger, server_of

PROGRAM = """
program: shop
currency: RUB
time_zone: UTC
effective_from: 2025-01-01T00:00:00Z
point_value: 1
activation: immediately
expiry: never
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
promo_codes:
  - {id: letter, per_member: 1, valid: {from: 2025-03-01T00:00:00Z}}
  - {id: radio, code: Good-Morning, uses: 100}
"""


@pytest.fixture(autouse=True)
def ledger(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A ledger of that program, which the command line finds."""
    server = server_of(services.database_url)
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        new_ledger(server, admin, load_program(PROGRAM, "shop.yaml"), 4, "codes") as name,
    ):
        monkeypatch.setenv("POINTS_DATABASE_URL", server + name)
        yield


def points(*arguments: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str) -> str:
    """The code of the error that the command ends with."""
    with pytest.raises(LedgerError) as error:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    return error.value.code


def test_generate_show_and_list(tmp_path: Path) -> None:
    out = tmp_path / "codes.csv"
    told = points("codes", "generate", "letter", "--count", "3", "--out", str(out))
    assert told == f"3 codes of letter in {out}\n"
    heading, *codes = out.read_text().splitlines()
    assert heading == "code"
    shown = json.loads(points("codes", "show", codes[1].lower(), "--json"))
    assert shown == {
        "series": "letter", "kind": "generated", "member_id": None, "uses": 1, "uses_left": 1,
        "per_member": 1, "valid_from": "2025-03-01T00:00:00Z", "valid_to": None,
    }  # fmt: skip
    letter, radio = json.loads(points("codes", "list", "--json"))["series"]
    assert (letter["series"], letter["codes"], letter["uses_left"]) == ("letter", 3, 3)
    assert (radio["code"], radio["uses"], radio["uses_left"]) == ("Good-Morning", 100, 100)
    assert "radio" in points("codes", "show", "GOODMORNING")
    assert points("codes", "list").endswith("2 series\n")


def test_bound_codes(tmp_path: Path) -> None:
    members, out = tmp_path / "members.csv", tmp_path / "codes.csv"
    members.write_text("member_id\nm1\nm2\n")
    made = ("codes", "generate", "letter", "--bind", str(members), "--out", str(out), "--json")
    assert json.loads(points(*made))["codes"] == 2
    heading, first, second = out.read_text().splitlines()
    assert (heading, first.split(",")[1], second.split(",")[1]) == ("code,member_id", "m1", "m2")
    assert "m2" in points("codes", "show", second.split(",")[0])


def test_what_is_refused(tmp_path: Path) -> None:
    out, members = str(tmp_path / "codes.csv"), tmp_path / "members.csv"
    for code, series in (("fixed_code", "radio"), ("unknown_series", "nowhere")):
        assert refused("codes", "generate", series, "--count", "1", "--out", out) == code
    for text in ("m1\nnot an id\n", "member_id\n"):
        members.write_text(text)
        bound = ("codes", "generate", "letter", "--bind", str(members), "--out", out)
        assert refused(*bound) == "bad_members"
    assert refused("codes", "show", "SPRUNG") == "unknown_code"
    assert CliRunner().invoke(app, ["codes", "generate", "letter", "--out", out]).exit_code == 2
    Path(out).write_text("mine")
    assert refused("codes", "generate", "letter", "--count", "1", "--out", out) == "file_exists"
