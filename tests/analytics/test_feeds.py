"""A change feed over a log that goes on, a new program version, and topics told anew."""

import asyncio

import psycopg
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from analytics.errors import AnalysisRefused
from cli.app import app
from deploy.embedded import Services
from projections.runner import Runner
from tests.analytics.feed_reader import agrees, feeds_of, kept, prefix_of, records
from tests.projections.conftest import Shop, shop, template
from tests.projections.log_writer import day, program, purchase

__all__ = ["shop", "template"]  # fixtures of the projections' tests


def folded_and_told(shop: Shop, services: Services) -> int:
    """Fold what there is and tell it; how many messages."""
    Runner(shop.url).run(until_caught_up=True)
    return asyncio.run(feeds_of(shop.url, services.kafka_bootstrap).run(until_caught_up=True))


def test_a_reader_follows_events_and_program_versions(shop: Shop, services: Services) -> None:
    for number in range(40):
        shop.log.take(f"m{number % 7}", purchase(f"o{number}", day(number), (9_900 + number,)))
    assert folded_and_told(shop, services) > 0
    assert folded_and_told(shop, services) == 0, "nothing has changed since"

    with psycopg.connect(shop.url, autocommit=True) as session:
        asyncio.run(agrees(session, services.kafka_bootstrap))

        shop.log.take("m3", purchase("late", day(60), (50_000,)))
        # m3's balance, tier and segments; and the events of the log
        found = folded_and_told(shop, services)
        assert 4 <= found <= 6
        asyncio.run(agrees(session, services.kafka_bootstrap))

        form = program()
        assert form.tiers is not None
        lower = replace(form.tiers, levels=(replace(form.tiers.levels[0], at_least=1),))
        shop.log.publish(replace(form, effective_from=day(90), tiers=lower))
        assert folded_and_told(shop, services) >= 7 * 3, "every member is told of"
        asyncio.run(agrees(session, services.kafka_bootstrap))

        again = feeds_of(shop.url, services.kafka_bootstrap)
        asyncio.run(again.run(until_caught_up=True, from_start=True))
        asyncio.run(agrees(session, services.kafka_bootstrap))
        told = asyncio.run(records(services.kafka_bootstrap, prefix_of(shop.url)))
        assert len(kept(told)[1]) < len(told), "repeats were told, and dropped"


def test_only_one_publisher(shop: Shop, services: Services) -> None:
    with psycopg.connect(shop.url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(x'46454544'::int)")
        with pytest.raises(AnalysisRefused) as refused:
            asyncio.run(feeds_of(shop.url, services.kafka_bootstrap).run(until_caught_up=True))
        assert refused.value.code == "feeds_running"


def test_the_commands(shop: Shop, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTS_DATABASE_URL", shop.url)
    monkeypatch.setenv("POINTS_KAFKA_BOOTSTRAP", services.kafka_bootstrap)
    shop.log.take("m1", purchase("o1", day(1), (9_900,)))
    Runner(shop.url).run(until_caught_up=True)
    prefix = ["--prefix", prefix_of(shop.url)]
    begun = CliRunner().invoke(app, ["feeds", "status", *prefix])
    assert "nothing was told yet" in begun.output
    told = CliRunner().invoke(app, ["feeds", "run", "--until-caught-up", *prefix])
    assert told.exit_code == 0, told.output
    after = CliRunner().invoke(app, ["feeds", "status", *prefix])
    assert after.output.count(" 0 events behind") == 4, after.output
