"""`points explain MEMBER`: where points came from and where they went, why rules gave none."""

from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from audit.explain import explain as explain_log
from audit.explain import only
from audit.member_log import ledger_facts, member_log
from audit.texts import Texts
from audit.words import words
from cli.context import parse_moment, print_json
from cli.members import AsJson, At, MemberId, unknown_member
from cli.projections import reading
from projections.system import System


class Language(StrEnum):
    """The languages of `audit.texts.LANGUAGES`."""

    en = "en"
    ru = "ru"


Lang = Annotated[Language, typer.Option("--lang", help="The language of the words.")]


def explain(
    member: MemberId,
    lot: Annotated[int | None, typer.Option(min=1, help="Only this lot.")] = None,
    order: Annotated[
        str | None, typer.Option("--order", help="Only what concerns this order.")
    ] = None,
    at: At = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="Also without --lot or --order: why rules gave nothing.")
    ] = False,
    lang: Lang = Language.en,
    as_json: AsJson = False,
) -> None:
    """Where each point came from and where it went; with --order or --lot, why rules gave none.

    Example: `points explain 1609 --order 40532086611 --lang ru`
    """
    if lot is not None and order is not None:
        raise typer.BadParameter("choose one of --lot and --order, not both")
    moment = parse_moment(at)
    with reading() as connection:
        ledger = ledger_facts(connection)
        log = member_log(connection, ledger, member)
        system = System()
        system.catch_up(connection)
    told = explain_log(member, log, system.programs, ledger, moment)
    if told is None:
        raise unknown_member(member, moment if log else None)
    told = only(told, lot=lot, order_id=order)
    lines = words(
        told,
        Texts(lang, ledger.time_zone, ledger.currency),
        rules=rules or lot is not None or order is not None,
    )
    if as_json:
        shown = msgspec.to_builtins(told)
        print_json({**shown, "language": lang.value, "words": [line._asdict() for line in lines]})
        return
    for depth, text in lines:
        typer.echo("  " * depth + text)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)
