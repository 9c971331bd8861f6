"""`points rewards …`: the catalogue with what is left of it, and loading voucher codes.

Thin: who is given what is decided by the ledger, under the lock of a reward's stock row.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cli.context import open_ledger, print_json, run
from ledger.core.program.compiled import Compiled
from ledger.core.program.timeline import NoProgram, Timeline
from ledger.errors import LedgerError
from ledger.stock import offers

CODE_LENGTH_MAX = 256
"""Characters of a voucher code: no issuer's is longer."""

LINES_SHOWN = 20
"""Lines of refused codes that are named; a file may hold a million."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_rewards(as_json: AsJson = False) -> None:
    """List the catalogue of the program in force, with how many are given and left.

    Example: `points rewards list`
    """
    found = run(_rewards())
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("the program in force has no rewards")
    for reward in found:
        left = "without end" if reward["left"] is None else f"{reward['left']:,} left"
        typer.echo(f"{reward['id']:<24} {reward['kind']:<8} {reward['points']:>12,} points  {left}")


async def _rewards() -> list[dict[str, Any]]:
    async with open_ledger() as ledger:
        program = _in_force(ledger.programs)
        stock = await ledger.reward_stock(list(program.rewards))
    return [msgspec.to_builtins(offer) for offer in offers(program, stock)]


def load_codes(
    reward: Annotated[str, typer.Argument(help="The reward, as the program names it.")],
    file: Annotated[Path, typer.Argument(help="One code on each line.")],
    as_json: AsJson = False,
) -> None:
    """Load the codes that a voucher hands out, each once. Loading a file again changes nothing;
    codes of another reward are refused.

    Example: `points rewards load-codes cinema codes.txt`
    """
    codes = _codes(file)
    loaded = run(_load(reward, list(codes.values())))
    lines = list(codes)
    refused = [lines[place] for place in loaded.refused]
    if as_json:
        counts = {"loaded": loaded.loaded, "known": loaded.known, "left": loaded.left}
        print_json({**counts, "refused_lines": refused})
        return
    typer.echo(
        f"{reward}: {loaded.loaded:,} codes loaded, {loaded.known:,} known before,"
        f" {loaded.left:,} left to hand out"
    )
    if refused:
        named = ", ".join(map(str, refused[:LINES_SHOWN]))
        more = " … (all with --json)" if len(refused) > LINES_SHOWN else ""
        typer.echo(f"{len(refused):,} refused, for they are of another reward: lines {named}{more}")


async def _load(reward_id: str, codes: list[str]) -> Any:
    async with open_ledger() as ledger:
        every = [program.rewards.get(reward_id) for _, program in ledger.programs.versions]
        if not any(reward is not None and reward.kind == "voucher" for reward in every):
            raise LedgerError(
                f"no program version has a voucher {reward_id}; see `points rewards list`.",
                "no_such_voucher",
            )
        return await ledger.load_codes(reward_id, codes)


def _codes(file: Path) -> dict[int, str]:
    """The codes of a file by their lines, from 1."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LedgerError(
            f"cannot read {file}: {error.strerror}; give a file of one code per line.",
            "cannot_read",
        ) from None
    except UnicodeDecodeError as error:
        raise LedgerError(
            f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8.", "cannot_read"
        ) from None
    codes = {}
    for number, line in enumerate(lines, 1):
        code = line.strip()
        if len(code) > CODE_LENGTH_MAX or not code.isprintable():
            raise LedgerError(
                f"line {number} of {file} is no code: it has over {CODE_LENGTH_MAX} characters, or"
                " some that cannot be printed; nothing was loaded.",
                "bad_code",
            )
        if code:
            codes[number] = code
    return codes


def _in_force(programs: Timeline) -> Compiled:
    try:
        return programs.at(time.time_ns() // 1_000)
    except NoProgram as none:
        raise LedgerError(f"{none}.", "no_program") from None


def register(app: typer.Typer) -> None:
    """Add the group `rewards`."""
    group = typer.Typer(
        help="The catalogue that points buy from: what is left, voucher codes.\n\n"
        "Example: `points rewards list`",
        no_args_is_help=True,
    )
    group.command("list")(list_rewards)
    group.command("load-codes")(load_codes)
    app.add_typer(group, name="rewards")
