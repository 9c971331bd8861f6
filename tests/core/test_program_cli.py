"""`points program`: what it prints, and how it refuses (publishing is tested with the ledger)."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from cli.program import read_program, register
from ledger.core.program.canonical import version_of
from ledger.core.program.load import load_program
from ledger.errors import ProgramRefused
from tests.core.program_texts import DEMO


def points(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["program", *arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "program.yaml"
    path.write_text(DEMO)
    return path


def test_a_good_program_is_named_by_its_version(file: Path) -> None:
    version = version_of(load_program(DEMO, "x"))
    result = points("check", str(file))
    assert result.exit_code == 0
    assert version in result.stdout
    told = json.loads(points("check", str(file), "--json").stdout)
    assert told["ok"] is True
    assert (told["version"], told["effective_from"]) == (version, "2017-01-01T00:00:00Z")


def test_problems_are_told_with_file_and_line(file: Path) -> None:
    file.write_text(DEMO.replace('by: "1.2"', "by: 1.2"))
    result = points("check", str(file))
    assert isinstance(result.exception, ProgramRefused)
    assert result.exception.code == "bad_program"
    assert f"{file}:" in result.exception.message
    assert "[float_refused]" in result.exception.message
    as_json = points("check", str(file), "--json")
    assert as_json.exit_code == 1
    (problem,) = json.loads(as_json.stdout)["problems"]
    assert (problem["code"], problem["path"]) == (
        "float_refused",
        "earn[2].award.multiplier.by",
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ProgramRefused, match="No such file"):
        read_program(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("program: é".encode("latin-1"))
    with pytest.raises(ProgramRefused, match="not UTF-8"):
        read_program(tmp_path / "latin.yaml")
    with pytest.raises(ProgramRefused, match="cannot read"):
        read_program(tmp_path)


def test_a_file_is_shown_in_its_normal_form_which_is_the_same_program(
    file: Path, tmp_path: Path
) -> None:
    shown = points("show", str(file))
    again = tmp_path / "again.yaml"
    again.write_text(shown.stdout)
    assert version_of(read_program(again)) == version_of(read_program(file))
    content = json.loads(points("show", str(file), "--json").stdout)["content"]
    assert content["program"] == "complete-journey"
