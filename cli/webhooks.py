"""`points webhooks`: who is told of events over HTTP; the process that tells them."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from psycopg import Connection

from api.webhooks import deliveries, subscriptions
from api.webhooks.deliveries import Status
from api.webhooks.subscriptions import NewWebhook, Webhook
from cli import logs
from cli.context import print_json, settings_of_services
from cli.dead_letters import who
from cli.projections import AsJson, reading, translated

commands = typer.Typer(
    help="Webhooks: docs/webhooks.md.\n\nExample: `points webhooks list`", no_args_is_help=True
)

PAGE = 50

Id = Annotated[str, typer.Argument(help="The webhook's id, as `list` shows it.")]


@contextmanager
def _session() -> Iterator[tuple[Connection[Any], bool]]:
    """A session, and whether private addresses may be called."""
    allowed = settings_of_services().webhooks_private_addresses == "allow"
    with reading() as connection:
        yield connection, allowed


def _plain(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))  # a payload is JSON already


@commands.command("list")
def list_webhooks(as_json: AsJson = False) -> None:
    """All webhooks, what waits for each, and why one is paused.

    Example: `points webhooks list --json`
    """
    with _session() as (connection, _):
        found = subscriptions.every(connection)
    if as_json:
        print_json({"webhooks": _plain(found)})
        return
    for webhook in found:
        typer.echo(_line(webhook))
    typer.echo(f"{len(found)} webhooks")


def _line(webhook: Webhook) -> str:
    state = webhook.status
    if webhook.paused_because is not None:
        state += f" ({webhook.paused_because})"
    elif webhook.failing_since is not None:
        state += f", fails since {webhook.failing_since:%Y-%m-%dT%H:%M:%SZ}"
    return (
        f"{webhook.id}  {state:<14} {webhook.waiting:>7} waiting  {webhook.url}"
        f"  {','.join(webhook.types)}"
    )


@commands.command()
def add(
    url: Annotated[str, typer.Argument(help="Where events are posted to: https://…")],
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="A type, or a group like points.*; default: everything."),
    ] = None,
    description: Annotated[str, typer.Option(help="Whose it is, and what for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Tell a URL of events, from now on. Prints the secret, which is shown only now.

    Example: `points webhooks add https://crm.example/points --type points.* --type tier.changed`
    """
    with _session() as (connection, allowed):
        made = subscriptions.add(
            connection, url, types or ["*"], description, f"cli:{who()}", allow_private=allowed
        )
    _tell_secret(made, as_json)


def _tell_secret(made: NewWebhook, as_json: bool) -> None:
    if as_json:
        print_json(_plain(made))
        return
    typer.echo(_line(made.webhook))
    typer.echo(f"secret: {made.secret}")


@commands.command()
def rotate(id_: Id, as_json: AsJson = False) -> None:
    """Give a webhook a new secret; the present one signs beside it for a day.

    Example: `points webhooks rotate wh_0c1d2e`
    """
    with _session() as (connection, _):
        made = subscriptions.rotate(connection, id_)
    _tell_secret(made, as_json)


@commands.command()
def pause(id_: Id) -> None:
    """Send nothing until `resume`; nothing is lost.

    Example: `points webhooks pause wh_0c1d2e`
    """
    with _session() as (connection, _):
        typer.echo(_line(subscriptions.pause(connection, id_)))


@commands.command()
def resume(id_: Id) -> None:
    """Go on where a webhook stopped.

    Example: `points webhooks resume wh_0c1d2e`
    """
    with _session() as (connection, _):
        typer.echo(_line(subscriptions.resume(connection, id_)))


@commands.command()
def remove(id_: Id) -> None:
    """End a webhook; its deliveries are deleted.

    Example: `points webhooks remove wh_0c1d2e`
    """
    with _session() as (connection, _):
        subscriptions.remove(connection, id_)
    typer.echo(f"{id_} removed")


@commands.command()
def test(id_: Id) -> None:
    """Send an event of type webhook.test.

    Example: `points webhooks test wh_0c1d2e`
    """
    with _session() as (connection, _):
        made = deliveries.test(connection, id_)
    typer.echo(f"{made.id}: see `points webhooks deliveries {id_}`")


@commands.command("deliveries")
def list_deliveries(
    id_: Id,
    status: Annotated[str | None, typer.Option(help="waiting, done or failed.")] = None,
    after: Annotated[str | None, typer.Option(help="What the page before said as next.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = PAGE,
    as_json: AsJson = False,
) -> None:
    """Deliveries of a webhook, newest first, with the answer to the last attempt.

    Example: `points webhooks deliveries wh_0c1d2e --status waiting`
    """
    try:
        wanted = msgspec.convert(status, Status | None)
    except msgspec.ValidationError:
        raise typer.BadParameter("write waiting, done or failed", param_hint="'--status'") from None
    with _session() as (connection, _):
        page = deliveries.page(connection, id_, status=wanted, after=after, limit=limit)
    if as_json:
        print_json(_plain(page))
        return
    for one in page.items:
        answer = one.answer_status or one.error or ""
        typer.echo(
            f"{one.id}  {one.status:<8} {one.attempts:>2} attempts  {one.type:<22}"
            f" {one.member_id or '':<16} {answer}"
        )
    if page.next is not None:
        typer.echo(f"more with --after {page.next}")


@commands.command()
def repeat(
    ids: Annotated[list[str], typer.Argument(help="Ids of deliveries, as they are listed.")],
) -> None:
    """Send deliveries again, under the same ids.

    Example: `points webhooks repeat msg_0c1d2e_3_1045_0`
    """
    with _session() as (connection, _):
        for id_ in ids:
            typer.echo(f"{deliveries.repeat(connection, id_).id}: waiting")


@commands.command()
def run(
    http_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of /metrics and /livez; 0: a free one.")
    ] = 0,
    log_file: Annotated[
        Path | None, typer.Option(help="Write the log here instead of standard error.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the embedded services to use.")
    ] = None,
) -> None:
    """Deliver until stopped (Ctrl-C, SIGTERM); goes on where it stopped. One at a time.

    Example: `points webhooks run`
    """
    # Imported here: they take half a second, and need the extra `api`.
    from api.webhooks.deliverer import Deliverer
    from api.webhooks.sending import Sender
    from cli.worker import address
    from streams.http import Probes

    settings = settings_of_services(data_dir=data_dir)
    logs.configure(log_file)

    async def work() -> None:
        sender = Sender(allow_private=settings.webhooks_private_addresses == "allow")
        deliverer = Deliverer(settings.require_database_url(), sender)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, deliverer.stop)
        probes = Probes(deliverer.metrics, lambda: None)
        port = await probes.start(settings.http_host, http_port)
        typer.echo(f"webhooks: {address(settings.http_host, port)}/metrics")
        try:
            await deliverer.run()
        finally:
            await probes.stop()

    with translated():
        asyncio.run(work())


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(commands, name="webhooks")
