"""`points feeds …`: tell Kafka what changes. Thin: the work is `analytics.feeds`."""

import asyncio
import signal
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from analytics import feed_positions
from analytics.feeds import Feeds
from cli import logs
from cli.context import print_json, settings_of_services
from cli.projections import AsJson, reading, translated
from schemas.feeds import FEEDS

Prefix = Annotated[str, typer.Option(help="Stands before the names of the topics.")]


def run(
    until_caught_up: Annotated[
        bool, typer.Option(help="Stop once nothing is left to tell.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option(help="Tell all again: for topics that were recreated.")
    ] = False,
    prefix: Prefix = "",
    replication: Annotated[
        int, typer.Option(min=1, max=32, help="Replicas of topics that are made.")
    ] = 1,
) -> None:
    """Tell Kafka what changes: topics balances, tiers, segments, ledger_events. Ctrl-C ends it in
    order; it goes on where it stopped.

    Example: `points feeds run --until-caught-up`
    """
    logs.configure()
    settings = settings_of_services(kafka=True)
    assert settings.kafka_bootstrap is not None, "asked for above"
    with reading():
        pass
    feeds = Feeds(
        settings.require_database_url(),
        settings.kafka_bootstrap,
        partitions=settings.partitions,
        replication=replication,
        prefix=prefix,
    )

    async def work() -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, feeds.stop)
        columns = (TextColumn("messages told"), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("told", total=None)
            return await feeds.run(until_caught_up, from_start, lambda n: bar.advance(task, n))

    with translated():
        total = asyncio.run(work())
    typer.echo(f"{total} messages told", err=True)


def status(prefix: Prefix = "", as_json: AsJson = False) -> None:
    """How far each feed is behind its read model, or the log.

    Example: `points feeds status --json`
    """
    with reading() as connection:
        lags = feed_positions.behind(connection, [prefix + name for name in FEEDS], prefix)
    topics = [
        {
            "topic": prefix + name,
            "behind": sum(lag.events for lag in lags if lag.topic == prefix + name),
            "shards_with_all_members_to_tell": sum(
                lag.sweep for lag in lags if lag.topic == prefix + name
            ),
            "begun": any(lag.topic == prefix + name for lag in lags),
        }
        for name in FEEDS
    ]
    if as_json:
        print_json({"feeds": topics})
        return
    for one in topics:
        if not one["begun"]:
            typer.echo(f"{one['topic']:<16} nothing was told yet: run `points feeds run`")
            continue
        sweep = one["shards_with_all_members_to_tell"]
        more = f", all members of {sweep} shards to be told of" if sweep else ""
        typer.echo(f"{one['topic']:<16} {one['behind']:>10} events behind{more}")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Change feeds in Kafka: docs/feeds.md.\n\nExample: `points feeds run`",
    )
    group.command()(run)
    group.command()(status)
    app.add_typer(group, name="feeds")
