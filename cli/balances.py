"""`points balance MEMBER`, `points balances`: what members have, had, and were known to have.

As of a moment (`--at`, default now) of one of two clocks (`--by`). `occurred`: balances and tiers
come from the read models, lots from the member's events as far as the read models have folded them,
so that both agree. `recorded`: what was known then, folded straight from the log.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import typer
from psycopg import Connection

from audit.as_of import AsOf, as_of
from audit.as_of_all import as_of_all, programs_known
from audit.member_log import ledger_facts, member_log
from cli.context import parse_moment, print_json
from cli.members import AsJson, At, MemberId, entries_of, unknown_member
from cli.progress import bar_shown
from cli.projections import moment_json, reading
from cli.rows import AsCsv, one_form, print_csv, print_json_rows
from ledger.core.calendar import format_instant, from_instant
from projections import queries
from projections.log import decode
from projections.lots import LotView, lots_at
from projections.system import System
from schemas.fields import Instant


class Clock(StrEnum):
    """By which moment of an event: when it happened, or when the ledger recorded it."""

    occurred = "occurred"
    recorded = "recorded"


By = Annotated[
    Clock,
    typer.Option("--by", help="What had happened by then, or what was recorded by then."),
]


def balance(
    member: MemberId, at: At = None, by: By = Clock.occurred, as_json: AsJson = False
) -> None:
    """A member's points, lots with their dates and tier, as of a moment.

    Example: `points balance 1609 --at 2018-01-15T00:00:00Z --by recorded`
    """
    moment = parse_moment(at)
    if by is Clock.recorded:
        _known(member, moment, as_json=as_json)
    else:
        _happened(member, moment, as_json=as_json)


def _known(member: MemberId, moment: Instant, *, as_json: bool) -> None:
    with reading() as connection:
        log = member_log(connection, ledger_facts(connection), member, moment)
        programs = programs_known(connection, moment)
    found = as_of(member, (recorded.event for recorded in log), programs, moment)
    if found is None:
        raise unknown_member(member, moment)
    if as_json:
        shown = _json_of(found)
        lots = [_lot(lot) for lot in found.lots]
        print_json(
            {"at": format_instant(moment), "by": Clock.recorded.value, **shown, "lots": lots}
        )
        return
    typer.echo(f"member {member} as known at {format_instant(moment)}")
    _print_balance(found, found.status, found.merged_into)
    _print_lots(found.lots)


def _happened(member: MemberId, moment: Instant, *, as_json: bool) -> None:
    with reading() as connection:
        found = queries.balance_of(connection, member, from_instant(moment))
        if found is None:
            raise unknown_member(member, moment)
        progress = queries.progress_of(connection, member)
        standing = queries.account_of(connection, member)
        assert standing is not None, "it has a balance"
        system = System()
        system.catch_up(connection)
        entries = entries_of(connection, ledger_facts(connection), member)
    lots = lots_at(member, map(decode, entries), moment, system.programs)
    if as_json:
        in_lots = sum(lot.available + lot.pending + lot.reserved for lot in lots)
        point_value = system.programs.at(moment).form.point_value
        shown = {
            "at": format_instant(moment),
            "by": Clock.occurred.value,
            **found._asdict(),
            **standing._asdict(),
            "in_lots": in_lots,
            "point_value": point_value,
            "liability": in_lots * point_value,
            "lots": [_lot(x) for x in lots],
        }
        if progress is not None:
            shown["tier_progress"] = {
                key: moment_json(value) if hasattr(value, "isoformat") else value
                for key, value in progress._asdict().items()
            }
        print_json(shown)
        return
    typer.echo(f"member {member} as of {format_instant(moment)}")
    _print_balance(found, standing.status, standing.merged_into)
    if progress is not None and progress.next_tier is not None:
        typer.echo(
            f"  {progress.missing} of {progress.measure} missing to {progress.next_tier} "
            f"({progress.reached} of {progress.next_at_least} as of {moment_json(progress.as_of)})"
        )
    _print_lots(lots)


def _print_balance(found: AsOf | queries.Balance, status: str, merged_into: str | None) -> None:
    for name in ("available", "pending", "reserved", "expired", "granted", "debt", "tier"):
        typer.echo(f"  {name:<10} {getattr(found, name):>12}")
    if merged_into is not None:
        typer.echo(f"  merged into {merged_into}")
    elif status != "open":
        typer.echo(f"  {status}")


def _print_lots(lots: Iterable[LotView]) -> None:
    for lot in lots:
        ends = "never expires" if lot.expires_at is None else f"expires {_at(lot.expires_at)}"
        state = ", ".join(
            f"{getattr(lot, name)} {name}"
            for name in ("available", "pending", "reserved")
            if getattr(lot, name)
        )
        typer.echo(
            f"  lot {lot.lot}: {state} of {lot.granted}, granted {_at(lot.granted_at)}, "
            f"spendable from {_at(lot.activates_at)}, {ends} ({', '.join(lot.rules)})"
        )


def _at(moment: int) -> str:
    return format_instant(moment)


def _lot(lot: LotView) -> dict[str, Any]:
    return {
        "lot": lot.lot,
        "rules": list(lot.rules),
        "granted": lot.granted,
        "available": lot.available,
        "pending": lot.pending,
        "reserved": lot.reserved,
        "granted_at": format_instant(lot.granted_at),
        "activates_at": format_instant(lot.activates_at),
        "expires_at": None if lot.expires_at is None else format_instant(lot.expires_at),
    }


class Worth(NamedTuple):
    """A member's balance with what its points are worth."""

    member_id: str
    available: int
    pending: int
    reserved: int
    expired: int
    granted: int
    debt: int
    tier: str
    in_lots: int
    point_value: int
    liability: int


class OneLot(NamedTuple):
    """A member's lot with what it is worth. `expires_at` empty: never."""

    member_id: str
    lot: int
    rules: str
    granted: int
    available: int
    pending: int
    reserved: int
    granted_at: str
    activates_at: str
    expires_at: str | None
    liability: int


Row = queries.Balance | Worth | OneLot


def _json_of(found: AsOf) -> dict[str, Any]:
    return {**_worth(found)._asdict(), "status": found.status, "merged_into": found.merged_into}


def _worth(found: AsOf) -> Worth:
    return Worth(*(getattr(found, name) for name in Worth._fields))


def _lots_of(found: AsOf) -> Iterator[OneLot]:
    for lot in found.lots:
        held = lot.available + lot.pending + lot.reserved
        told = {**_lot(lot), "rules": " ".join(lot.rules)}
        yield OneLot(found.member_id, **told, liability=held * found.point_value)


def balances(
    at: At = None,
    by: By = Clock.occurred,
    lots: Annotated[
        bool, typer.Option("--lots", help="Each lot with its dates and worth.")
    ] = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """All members' points and tiers as of a moment; streamed, so any number. With --by recorded or
    --lots folded from the log, by shard; else from the read models, by member_id.

    Example: `points balances --at 2018-01-15T00:00:00Z --by recorded --csv > balances.csv`
    """
    one_form(as_json, as_csv)
    moment = parse_moment(at)
    fields: Sequence[str] = queries.Balance._fields
    if lots:
        fields = OneLot._fields
    elif by is Clock.recorded:
        fields = Worth._fields
    # Closed before the session: whoever reads the output may stop early (head).
    with reading() as connection, _rows(connection, moment, by, lots=lots) as rows:
        if as_csv:
            print_csv(fields, rows)
        elif as_json:
            print_json_rows(fields, rows)
        else:
            _print_table(fields, rows)


@contextmanager
def _rows(
    connection: Connection, moment: Instant, by: Clock, *, lots: bool
) -> Iterator[Iterable[Row]]:
    if by is Clock.occurred and not lots:
        with closing(queries.balances(connection, from_instant(moment))) as found:
            yield found
        return
    known_at = moment if by is Clock.recorded else None
    with bar_shown("events", transient=True) as show:
        ledger = ledger_facts(connection)
        with closing(as_of_all(connection, ledger, moment, known_at, show)) as members:
            if lots:
                yield (lot for member in members for lot in _lots_of(member))
            else:
                yield map(_worth, members)


def _print_table(fields: Sequence[str], rows: Iterable[Row]) -> None:
    typer.echo(f"{fields[0]:<20}" + "".join(f"{name:>12}" for name in fields[1:]))
    for row in rows:
        typer.echo(f"{row[0]:<20}" + "".join(f"{value!s:>12}" for value in row[1:]))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(balance)
    app.command()(balances)
