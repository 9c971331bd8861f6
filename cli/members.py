"""`points segments MEMBER`: a member's segments; and what the commands on members share.

All as of a moment of the world (`--at`, default now).
"""

from typing import Annotated, Any

import typer
from psycopg import Connection
from typer.core import TyperGroup

from audit.member_log import LedgerFacts
from cli.context import open_ledger, parse_moment, print_json
from cli.context import run as run_async
from cli.projections import moment_json, reading, translated
from ledger.accounts import account_id_of
from ledger.core.calendar import format_instant, from_instant
from ledger.errors import LedgerError
from ledger.sharding import shard_of
from projections import queries
from projections.log import Entry, histories
from projections.rfm import compute_bounds
from schemas.fields import Instant


def _not_empty(member: str) -> str:
    if not member.strip():
        raise typer.BadParameter("it is empty; name a member by its id")
    return member


MemberId = Annotated[str, typer.Argument(help="The member's opaque id.", callback=_not_empty)]
At = Annotated[
    str | None, typer.Option("--at", help="Moment, RFC 3339, as 2018-01-15T00:00:00Z; now.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class UnknownMember(LedgerError):
    """No account of that id, or none yet at the asked moment."""

    code = "unknown_member"


def unknown_member(member: str, at: Instant | None) -> UnknownMember:
    """What to say of a member without an account (at that moment)."""
    if at is None:
        what, later = f"Member {member} has no account", ""
    else:
        what = f"Member {member} has no account at {format_instant(at)}"
        later = ", or choose a later --at"
    return UnknownMember(
        f"{what}: check the id (`points balances` lists all){later}; what was just published"
        " counts once `points worker` and `points projections run` have taken it."
    )


def entries_of(connection: Connection, ledger: LedgerFacts, member_id: str) -> list[Entry]:
    """The member's events as far as the balances have folded them."""
    shard = shard_of(member_id, ledger.shards)
    folded = queries.position_in(connection, "balances", shard)
    account = account_id_of(ledger.program_id, member_id)
    return list(histories(connection, shard, [account], folded))


def show(member: MemberId, at: At = None, as_json: AsJson = False) -> None:
    """Which segments a member is in at a moment, since when and until when, with the RFM values.

    Example: `points segments 1609 --at 2018-01-15T00:00:00Z` (same as `points segments show 1609`)
    """
    instant = parse_moment(at)
    moment = from_instant(instant)
    with reading() as connection:
        if queries.balance_of(connection, member, moment) is None:
            raise unknown_member(member, instant)
        intervals = queries.memberships(connection, member)
        scores = queries.scores_of(connection, member, moment)
    inside = queries.segments_in(intervals, moment)
    if as_json:
        print_json(
            {
                "member_id": member,
                "at": format_instant(instant),
                "segments": inside,
                "values": None if scores is None else scores._asdict(),
                "intervals": [
                    {
                        "segment": i.segment,
                        "entered_at": moment_json(i.entered_at),
                        "left_at": moment_json(i.left_at),
                    }
                    for i in intervals
                ],
            }
        )
        return
    typer.echo(f"member {member} as of {format_instant(instant)}")
    if scores is not None:
        typer.echo(
            f"  last purchase {scores.recency_days} days ago, {scores.frequency} purchases and "
            f"{scores.monetary} minor units in 365 days, RFM scores "
            f"{_score(scores.recency_score)}{_score(scores.frequency_score)}"
            f"{_score(scores.monetary_score)}"
        )
    typer.echo(f"  in: {', '.join(inside) or 'no segment'}")
    for interval in intervals:
        left = moment_json(interval.left_at)
        until = f"until {left}" if left else "for good if nothing more happens"
        typer.echo(f"  {interval.segment}: from {moment_json(interval.entered_at)} {until}")


def _score(score: int | None) -> str:
    return "-" if score is None else str(score)


def refresh(at: At = None, as_json: AsJson = False) -> None:
    """Work out the RFM bounds over all members as of a moment, and record them in the log.

    Example: `points segments refresh --at 2018-01-15T00:00:00Z`
    """
    instant = parse_moment(at)
    with reading() as connection:
        event = compute_bounds(connection, instant)

    async def record() -> None:
        async with open_ledger() as ledger:
            await ledger.record_bounds(event)

    with translated():
        run_async(record())
    shown = {
        "as_of": format_instant(event.as_of),
        "members": event.members,
        "recency_days": list(event.recency_days),
        "frequency": list(event.frequency),
        "monetary": list(event.monetary),
    }
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        typer.echo(f"{name:<14} {value}")


class ShowByDefault(TyperGroup):
    """`points segments MEMBER` means `points segments show MEMBER`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `show` in front of what is no command of the group."""
        if args and args[0] not in self.commands and args[0] not in {"--help", "-h"}:
            args = ["show", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        cls=ShowByDefault,
        no_args_is_help=True,
        help="A member's segments; the RFM bounds.\n\n"
        "Example: `points segments 1609 --at 2018-01-15T00:00:00Z`",
    )
    group.command()(show)
    group.command()(refresh)
    app.add_typer(group, name="segments")
