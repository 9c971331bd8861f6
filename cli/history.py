"""`points history MEMBER`: a member's entries, each explained in words from its own event."""

from typing import Annotated

import typer

from cli.context import parse_moment, print_json
from cli.members import AsJson, MemberId, entries_of, unknown_member
from cli.projections import reading
from ledger.core.calendar import format_instant
from projections.explain import explain
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
    as_json: AsJson = False,
) -> None:
    """The member's entries explained: what happened, which rules gave how much, what capped them.

    Example: `points history 1609 --limit 5 --at 2017-07-01T00:00:00Z`
    """
    moment = None if at is None else parse_moment(at)
    with reading() as connection:
        entries, currency = entries_of(connection, member)
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
    shown = [(place, event, explain(event, currency)) for place, event in found]
    if as_json:
        print_json(
            {
                "member_id": member,
                "at": None if moment is None else format_instant(moment),
                "entries": [
                    {
                        "shard": None if place is None else entries[place].shard,
                        "position": None if place is None else entries[place].position,
                        "occurred_at": format_instant(event.occurred_at),
                        "type": type(event).__name__,
                        "headline": told.headline,
                        "details": list(told.details),
                    }
                    for place, event, told in shown
                ],
                "earlier": earlier,
            }
        )
        return
    if earlier:
        typer.echo(f"… {earlier} earlier entries (see --limit)")
    for _, event, told in shown:
        typer.echo(f"{format_instant(event.occurred_at)}  {told.headline}")
        for detail in told.details:
            typer.echo(f"    {detail}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(history)
