"""Rows as a command prints them: CSV for spreadsheets, JSON for programs, both as they come."""

import csv
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any

import orjson
import typer

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


def one_form(as_json: bool, as_csv: bool) -> None:
    """Raises BadParameter where both were asked for."""
    if as_csv and as_json:
        raise typer.BadParameter("choose one of --csv and --json, not both")


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A line of names, then one for each row."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def print_json_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """An array with an object for each row, a row a line."""
    out = sys.stdout.buffer
    separator = b"[\n"
    for row in rows:
        told = dict(zip(columns, row, strict=True))
        out.write(separator + orjson.dumps(told, default=_plain))
        separator = b",\n"
    out.write(b"\n]\n" if separator == b",\n" else b"[]\n")
    out.flush()


def _plain(value: Any) -> float:
    """Rates are estimates for programs: numbers, not texts."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")
