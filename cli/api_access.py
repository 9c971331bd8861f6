"""`points api keys …`, `trail`, `person`: access to the HTTP API, by the database's login.

The first key needs no key: whoever can log in to the database could write its tables anyway. What
is done here is in the audit trail like what is done over HTTP.
"""

import getpass
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from cli.api import app as group
from cli.context import parse_moment, print_json, run, settings_of_services
from ledger.core.calendar import from_instant

commands = typer.Typer(
    no_args_is_help=True,
    help="Keys of the HTTP API.\n\n"
    "Example: `points api keys create --client till-7 --scope preview --scope redeem`",
)

T = TypeVar("T")

_SPAN = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

TRAIL_MAX = 10_000
"""Rows that `trail` shows at once."""

KINDS = ("refused", "begun", "ended", "command")
"""Of rows of the trail."""

DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded services to use.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Expires = Annotated[
    str, typer.Option(help="When it ends: a span like 90d, a moment with an offset, or never.")
]


class _Wanted(msgspec.Struct, frozen=True):
    client: str
    roles: list[str]
    scopes: list[str]
    expires_at: datetime | None
    requests_per_second: int | None


@commands.command()
def create(
    client: Annotated[str, typer.Option(help="The system that will use it: till-7, crm.")],
    scope: Annotated[list[str] | None, typer.Option(help="A scope; may be repeated.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="A role; may be repeated.")] = None,
    expires: Expires = "365d",
    person: Annotated[
        str | None,
        typer.Option(help="Whose key it is, for approvals; left out: a machine's."),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Requests a second; POINTS_API_RATE_PER_SECOND.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once: only its hash is kept.

    Example: `points api keys create --client till-7 --scope preview --scope redeem --expires 90d`
    """
    from api.access import keys

    wanted = _Wanted(client, role or [], scope or [], end_of(expires), rate)

    async def work(connection: Any) -> Any:
        return await keys.create(connection, wanted, by=operator(), person=person)

    _tell_made(_noted("create_key", work, data_dir), as_json)


@commands.command("list")
def list_keys(
    ended: Annotated[bool, typer.Option(help="Also those that were revoked or expired.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List keys, without their secrets.

    Example: `points api keys list --ended`
    """
    from api.access import keys

    async def work() -> Any:
        async with _connected(data_dir) as connection:
            return await keys.listed(connection, ended=ended)

    now = datetime.now(UTC)
    rows = [_plain(key, now) for key in run(work())]
    if as_json:
        print_json({"keys": rows})
        return
    for row in rows:
        may = " ".join([*row["roles"], *row["scopes"]])
        used = row["last_used_at"] or "never used"
        end = row["expires_at"] or "never"
        typer.echo(f"{row['id']}  {row['client']:<20} {row['state']:<8} until {end}  {used}  {may}")
    typer.echo(f"{len(rows)} keys", err=True)


@commands.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `list` shows it.")],
    grace: Annotated[str, typer.Option(help="How long the old one goes on, like 24h; 0.")] = "24h",
    expires: Expires = "365d",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key of the same client; the old one goes on for the grace.

    Example: `points api keys rotate k7wq3m5a --grace 48h`
    """
    from api.access import keys

    async def work(connection: Any) -> Any:
        return await keys.rotate(
            connection,
            key_id,
            grace=timedelta(0) if grace == "0" else span_of(grace, "--grace"),
            expires_at=end_of(expires),
            by=operator(),
            personal=True,
        )

    _tell_made(_noted("rotate_key", work, data_dir), as_json)


@commands.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `list` shows it.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """End a key. Every process refuses it within five seconds.

    Example: `points api keys revoke k7wq3m5a`
    """
    from api.access import keys

    async def work(connection: Any) -> Any:
        return await keys.revoke(connection, key_id, by=operator())

    key = _plain(_noted("revoke_key", work, data_dir), datetime.now(UTC))
    if as_json:
        print_json(key)
        return
    typer.echo(f"key {key['id']} of {key['client']} is revoked")


def trail(
    who: Annotated[str | None, typer.Option(help="Only this caller, like key:till-7.")] = None,
    operation: Annotated[str | None, typer.Option(help="Only this operation.")] = None,
    kind: Annotated[str | None, typer.Option(help="refused, begun, ended or command.")] = None,
    since: Annotated[str | None, typer.Option(help="From this moment on.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this moment.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=TRAIL_MAX, help="At most so many.")] = 50,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the audit trail, newest first: refused and privileged calls, commands about access.

    Example: `points api trail --kind refused --limit 20`
    """
    from api.access import trail_pages

    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"write one of {', '.join(KINDS)}", param_hint="'--kind'")
    asked = trail_pages.Asked(
        kind=kind,
        who=who,
        operation=operation,
        since=None if since is None else from_instant(parse_moment(since, "--since")),
        until=None if until is None else from_instant(parse_moment(until, "--until")),
    )

    async def work() -> Any:
        async with _connected(data_dir) as connection:
            return await trail_pages.page(connection, asked, limit)

    rows = [msgspec.to_builtins(row) for row in run(work())]
    if as_json:
        print_json({"audit_trail": rows})
        return
    for row in rows:
        told = (row["at"], row["kind"], row["who"] or row["address"], row["operation"], row["path"])
        outcome = " ".join(str(each) for each in (row["status"], row["code"]) if each is not None)
        times = f" ×{row['count']}" if row["count"] > 1 else ""
        typer.echo("  ".join(str(each or "-") for each in told) + f"  {outcome}{times}")


def person(
    subject: Annotated[str, typer.Argument(help="The claim sub of the person's tokens.")],
    issuer: Annotated[
        str | None, typer.Option(help="The claim iss. Default: POINTS_OIDC_ISSUER.")
    ] = None,
) -> None:
    """Show the id under which a person of the OIDC issuer stands in the trail and in the log.

    Example: `points api person anna@shop.example --issuer https://login.example`
    """
    from api.access.tokens import person_id
    from ledger.settings import load_settings

    name = issuer if issuer is not None else load_settings().oidc_issuer
    if name is None:
        raise typer.BadParameter("name it, or set POINTS_OIDC_ISSUER", param_hint="'--issuer'")
    typer.echo(person_id(name, subject))


def operator() -> str:
    """Who works at the command line, as the operating system knows him."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        name = f"uid {os.getuid()}"
    return f"command line: {name}"


def end_of(text: str) -> datetime | None:
    """The moment at which a key ends; None for never. Raises BadParameter, LedgerError."""
    if text == "never":
        return None
    if _SPAN.fullmatch(text):
        return datetime.now(UTC) + span_of(text, "--expires")
    return from_instant(parse_moment(text, "--expires"))


def span_of(text: str, option: str) -> timedelta:
    """A span like 90d, 24h, 30m, 45s. Raises BadParameter."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter("write a span like 90d, 24h, 30m", param_hint=f"'{option}'")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _noted(operation: str, work: Callable[[Any], Awaitable[T]], data_dir: Path | None) -> T:
    """Do the work and note it, both or neither."""
    from api.access.trail import Note, insert, now

    async def both() -> T:
        async with _connected(data_dir) as connection, connection.transaction():
            done = await work(connection)
            of: Any = getattr(done, "key", done)
            note = Note(
                at=now(),
                kind="command",
                who=operator(),
                operation=operation,
                path=f"/v1/keys/{of.id}",
                code=f"client {of.client}",
            )
            await insert(connection, [note])
            return done

    return run(both())


@asynccontextmanager
async def _connected(data_dir: Path | None) -> AsyncIterator[Any]:
    """A session as the application's role. Raises StartRefused."""
    from psycopg import AsyncConnection

    from ledger.database import APP_ROLE, CONNECT_SECONDS, translated
    from ledger.identity import check_database

    settings = settings_of_services(data_dir=data_dir)
    await check_database(settings)
    with translated():
        connection = await AsyncConnection.connect(
            settings.require_database_url(), autocommit=True, connect_timeout=CONNECT_SECONDS
        )
        async with connection:
            await connection.execute("SELECT set_config('role', %s, false)", (APP_ROLE,))
            await connection.execute("SET TimeZone = 'UTC'")
            yield connection


def _plain(key: Any, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(key)
    return row | {"state": key.state_at(now)}


def _tell_made(made: Any, as_json: bool) -> None:
    if as_json:
        print_json({"secret": made.secret, "key": _plain(made.key, datetime.now(UTC))})
        return
    typer.echo(
        f"key {made.key.id} of {made.key.client}; keep it now, it is not shown again", err=True
    )
    typer.echo(made.secret)


def register(_: typer.Typer) -> None:
    """Add the commands to the group `api`."""
    group.add_typer(commands, name="keys")
    group.command()(trail)
    group.command()(person)
