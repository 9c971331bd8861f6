"""`points history MEMBER`: a member's entries, each explained in words from its own event."""

from typing import Annotated

import typer

from audit.entries import earlier_entries, told
from audit.member_log import ledger_facts
from audit.texts import Texts
from cli.context import parse_moment, print_json
from cli.explain import Lang, Language
from cli.members import AsJson, MemberId, entries_of, unknown_member
from cli.projections import reading
from ledger.core.calendar import format_instant, from_instant
from projections.happened import happened_by
from projections.log import decode
from projections.system import System
from schemas.decisions import AccountEvent

HISTORY_SHOWN = 20
"""Entries shown when no limit is given: a screen."""


def history(
    member: MemberId,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="Only what had happened by this moment (RFC 3339); else all recorded.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")
    ] = HISTORY_SHOWN,
    lang: Lang = Language.en,
    as_json: AsJson = False,
) -> None:
    """The member's entries explained: what happened, which rules gave how much, what capped them.

    Example: `points history 1609 --limit 5 --at 2017-07-01T00:00:00Z`
    """
    moment = None if at is None else parse_moment(at)
    with reading() as connection:
        ledger = ledger_facts(connection)
        entries = entries_of(connection, ledger, member)
        system = System()
        system.catch_up(connection)
    if not entries:
        raise unknown_member(member, None)
    found: list[tuple[int | None, AccountEvent]]
    if moment is None:
        earlier = max(0, len(entries) - limit)
        found = [(place, decode(entries[place])) for place in range(earlier, len(entries))]
    else:
        events = [decode(entry) for entry in entries]
        found = happened_by(member, events, moment, system.programs)
        if not found:
            raise unknown_member(member, moment)
        earlier = max(0, len(found) - limit)
        found = found[earlier:]
    texts = Texts(lang, ledger.time_zone, ledger.currency)
    shown = [(place, event, told(event, texts)) for place, event in found]
    if as_json:
        print_json(
            {
                "member_id": member,
                "at": None if moment is None else format_instant(moment),
                "language": lang.value,
                "entries": [
                    {
                        "shard": None if place is None else entries[place].shard,
                        "position": None if place is None else entries[place].position,
                        "occurred_at": format_instant(event.occurred_at),
                        "type": type(event).__name__,
                        "headline": words.headline,
                        "details": list(words.details),
                    }
                    for place, event, words in shown
                ],
                "earlier": earlier,
            }
        )
        return
    typer.echo(texts.say("times are those of {zone}", zone=ledger.time_zone))
    if earlier:
        typer.echo(earlier_entries(texts, earlier))
    for _, event, words in shown:
        typer.echo(f"{texts.when(from_instant(event.occurred_at))}  {words.headline}")
        for detail in words.details:
            typer.echo(f"    {detail}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(history)
