"""`points kafka`: which Kafka feeds the ledger, and the word that it is another one from now on."""

from typing import Annotated

import typer

from cli.context import print_json, run, settings_of_services
from ledger.feed import Feed
from ledger.settings import Settings

commands = typer.Typer(
    help="Which Kafka cluster and consumer group feed this ledger.\n\nExample: `points kafka show`",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@commands.command()
def show(as_json: AsJson = False) -> None:
    """Show the feed on record (written by the first worker) beside the one of the settings.

    Example: `points kafka show`
    """
    from ledger.feed import recorded_feed

    settings = settings_of_services(kafka=True)
    recorded = recorded_feed(settings.require_database_url())
    found = _found(settings)
    if as_json:
        print_json({"recorded": recorded and recorded._asdict(), "found": found._asdict()})
        return
    typer.echo(f"recorded  {_line(recorded)}")
    typer.echo(f"found     {_line(found)}")


@commands.command()
def adopt(as_json: AsJson = False) -> None:
    """Take the settings' Kafka, group and topics for the ledger's from now on: after the topics
    were recreated, the input moved to another cluster, or the group was renamed. Stop all workers
    first.

    The stored offsets are forgotten: the next worker reads the topics from their beginning, and
    what was taken before is a duplicate.

    Example: `points kafka adopt`
    """
    from ledger.feed import adopt as adopt_feed

    settings = settings_of_services(kafka=True)
    found = _found(settings)
    forgotten = adopt_feed(settings.require_database_url(), found)
    if as_json:
        print_json({"adopted": found._asdict(), "offsets_forgotten": forgotten})
        return
    typer.echo(f"adopted   {_line(found)}; {forgotten} stored offsets forgotten")


def _found(settings: Settings) -> Feed:
    from streams.checks import check_topics

    bootstrap = settings.kafka_bootstrap
    assert bootstrap is not None
    described = run(check_topics(bootstrap, settings.partitions))
    return Feed(described.cluster_id, settings.group)


def _line(feed: Feed | None) -> str:
    if feed is None:
        return "none yet: no worker has run"
    return f"cluster {feed.cluster_id or '(not told)'}, group {feed.group}"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="kafka")
