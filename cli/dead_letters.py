"""`points dead-letters`: inputs that were put aside; look at them, retry them, give them up."""

import getpass
import os
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from cli.context import open_ledger, print_json, run
from cli.letters import place, plain, status_of, tell
from ledger.dead_letters import LIST_MAX, DeadLetter, again
from ledger.errors import LedgerError
from ledger.received import Outcome

commands = typer.Typer(
    help="Inputs that could not be understood or decided.\n\n"
    "Example: `points dead-letters list --code not_json`",
    no_args_is_help=True,
)

REASON_MAX = 500
"""Characters of a reason: a sentence or two, shown with each letter."""

_DAYS = re.compile(r"([1-9][0-9]{0,4})d")

Ids = Annotated[list[int] | None, typer.Argument(help="Ids, as `list` shows them.")]
Code = Annotated[str | None, typer.Option(help="Only those with this reason code.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@commands.command("list")
def list_dead_letters(
    status: Annotated[str, typer.Option(help="open, retried or discarded.")] = "open",
    code: Code = None,
    after: Annotated[int, typer.Option(min=0, help="Only ids above this one.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first.

    Example: `points dead-letters list --code not_json`
    """

    wanted = status_of(status)

    async def work() -> tuple[list[DeadLetter], int]:
        async with open_ledger() as ledger:
            found = await ledger.dead_letters(wanted, code=code, after=after, limit=limit)
            return found, await ledger.count_dead_letters(wanted, code=code)

    letters, total = run(work())
    if as_json:
        print_json({"dead_letters": [plain(letter) for letter in letters], "total": total})
        return
    for letter in letters:
        typer.echo(f"{letter.id:>8}  {place(letter):<28} {letter.code:<20} {letter.message}")
    if len(letters) == total:
        typer.echo(f"{total} {status}")
        return
    more = f"; more with --after {letters[-1].id}" if len(letters) == limit else ""
    typer.echo(f"{len(letters)} shown of {total} {status}{more}")


@commands.command()
def show(number: Annotated[int, typer.Argument(help="The id.")], as_json: AsJson = False) -> None:
    """Show one dead letter with the bytes that came.

    Example: `points dead-letters show 17`
    """

    async def work() -> DeadLetter:
        async with open_ledger() as ledger:
            letter: DeadLetter = await ledger.dead_letter(number)
            return letter

    letter = plain(run(work()))
    if as_json:
        print_json(letter)
        return
    for name, value in letter.items():
        if value not in (None, []):
            typer.echo(f"{name:<17} {value}")


@commands.command()
def retry(ids: Ids = None, code: Code = None, as_json: AsJson = False) -> None:
    """Put dead letters through the ledger again, each exactly once: those named, or all of a code.

    Exit status 1 when one of them is dead-lettered again.

    Example: `points dead-letters retry --code no_program`
    """
    outcomes: dict[int, Outcome] = {}

    async def work() -> None:
        async with open_ledger() as ledger:
            async for letter in _chosen(ledger, ids, code):
                (outcome,) = await ledger.handle([again(letter)], retry_of=letter.id)
                outcomes[letter.id] = outcome

    done = False
    try:
        run(work())
        done = True
    finally:  # those before one that cannot be retried are done, and told
        if done or outcomes:
            tell(outcomes, as_json=as_json)
    if any(outcome.kind == "dead_lettered" for outcome in outcomes.values()):
        raise typer.Exit(1)


@commands.command()
def discard(
    reason: Annotated[str, typer.Option(help="Why they are given up; kept with each.")],
    ids: Ids = None,
    code: Code = None,
    as_json: AsJson = False,
) -> None:
    """Give dead letters up for a reason: those named, or all of a code. They stay counted and
    listed (`list --status discarded`), with who gave them up, when, and why.

    Example: `points dead-letters discard 17 18 --reason "test records of the till's maker"`
    """
    why = " ".join(reason.split())
    if not why or len(why) > REASON_MAX:
        raise typer.BadParameter(
            f"say in 1 to {REASON_MAX} characters why", param_hint="'--reason'"
        )

    async def work() -> list[int]:
        discarded = []
        async with open_ledger() as ledger:
            async for letter in _chosen(ledger, ids, code):
                await ledger.discard_dead_letter(letter.id, why, who())
                discarded.append(letter.id)
        return discarded

    discarded = run(work())
    if as_json:
        print_json({"discarded": discarded})
    else:
        typer.echo(f"{len(discarded)} discarded")


@commands.command()
def purge(
    older_than: Annotated[str, typer.Option(help="Age in days since they were closed, like 90d.")],
    as_json: AsJson = False,
) -> None:
    """Delete dead letters that were retried or discarded long ago, with their bytes. The counts of
    outcomes stay; open ones are never deleted.

    Example: `points dead-letters purge --older-than 90d`
    """
    age = _DAYS.fullmatch(older_than)
    if age is None:
        raise typer.BadParameter("write a number of days, like 90d", param_hint="'--older-than'")
    before = datetime.now(UTC) - timedelta(days=int(age[1]))

    async def work() -> int:
        async with open_ledger() as ledger:
            return int(await ledger.purge_dead_letters(before))

    purged = run(work())
    if as_json:
        print_json({"purged": purged})
    else:
        typer.echo(f"{purged} purged")


def who() -> str:
    """The operator, as the operating system knows him."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return f"uid {os.getuid()}"


async def _chosen(ledger: Any, ids: list[int] | None, code: str | None) -> Any:
    """The open dead letters named, or all of a code. Raises LedgerError."""
    if bool(ids) == bool(code):
        raise LedgerError("Name either ids or --code.", "nothing_chosen")
    for number in ids or ():
        yield await ledger.dead_letter(number)
    after = 0
    while code is not None:
        page = await ledger.dead_letters("open", code=code, after=after, limit=LIST_MAX)
        for letter in page:
            yield letter
        if len(page) < LIST_MAX:
            return
        after = page[-1].id


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="dead-letters")
