"""`points codes`: generate promo codes in bulk, look at one, list the series."""

import csv
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import open_ledger, print_json, run
from ledger.code_files import COUNT_MAX, Made
from ledger.code_series import every_series, looked_up, plain
from ledger.errors import LedgerError
from schemas.fields import ID_PATTERN

commands = typer.Typer(
    help="Promo codes of the program's series.\n\n"
    "Example: `points codes generate spring-letter --count 1000 --out codes.csv`",
    no_args_is_help=True,
)

_MEMBER_ID = re.compile(ID_PATTERN)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@commands.command()
def generate(
    series: Annotated[str, typer.Argument(help="The id of a series without a fixed code.")],
    out: Annotated[Path, typer.Option(help="The file to write, one code a line.")],
    count: Annotated[
        int | None, typer.Option(min=1, max=COUNT_MAX, help="How many; not with --bind.")
    ] = None,
    bind: Annotated[
        Path | None, typer.Option(help="A CSV file of member ids: a code for each, only for him.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Generate unguessable promo codes into a file. The database keeps only their digests, so the
    file is the only place where they can be read. An interrupted call is repeated as it was.

    Example: `points codes generate spring-letter --count 1000000 --out codes.csv`
    """
    if (count is None) == (bind is None):
        raise typer.BadParameter("give either --count or --bind", param_hint="'--count'")
    members = None if bind is None else _members(bind)
    number = count if members is None else len(members)

    async def work() -> Made:
        async with open_ledger() as ledger:
            made: Made = await ledger.generate_codes(series, number, out, members)
            return made

    made = run(work())
    if as_json:
        told = {"series": series, "codes": made.codes, "file": out, "recovered": made.recovered}
        print_json(told)
        return
    before = " (made by the call that was interrupted)" if made.recovered else ""
    typer.echo(f"{made.codes} codes of {series} in {out}{before}")


def _members(path: Path) -> list[str]:
    """The first column of the file, without its heading. Raises LedgerError (bad_members)."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [(number, row[0].strip()) for number, row in enumerate(csv.reader(file), 1) if row]
    if rows and rows[0][1] == "member_id":
        rows = rows[1:]
    for number, member_id in rows:
        if _MEMBER_ID.match(member_id) is None:
            raise LedgerError(
                f"{path}, line {number}: {member_id!r} is no member id; correct the file.",
                "bad_members",
            )
    if not rows or len(rows) > COUNT_MAX:
        raise LedgerError(f"{path} has {len(rows)} members; give 1 to {COUNT_MAX}.", "bad_members")
    return [member_id for _, member_id in rows]


@commands.command()
def show(
    code: Annotated[str, typer.Argument(help="The code, as it is printed or typed.")],
    as_json: AsJson = False,
) -> None:
    """Show what a promo code is: its series, whose it is, what is left of it.

    Example: `points codes show SPRING26`
    """
    found = run(_look(code))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if value is not None:
            typer.echo(f"{name:<11} {value}")


async def _look(code: str) -> dict[str, Any]:
    async with open_ledger() as ledger:
        return plain(await looked_up(ledger, code))


@commands.command("list")
def list_codes(as_json: AsJson = False) -> None:
    """List the series of promo codes, with how much of each is used.

    Example: `points codes list --json`
    """

    async def work() -> list[dict[str, Any]]:
        async with open_ledger() as ledger:
            return [plain(each) for each in await every_series(ledger)]

    found = run(work())
    if as_json:
        print_json({"series": found})
        return
    for each in found:
        what = each["code"] or f"{each['codes']} codes"
        left = "any number of uses" if each["uses"] is None else f"{each['uses_left']} uses left"
        typer.echo(f"{each['series']:<24} {each['kind']:<10} {what:<20} {left}")
    typer.echo(f"{len(found)} series")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="codes")
