"""RFM bounds are recorded once a day, at the hour asked for, and a missed night is made up for."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from analytics import rfm_nights
from analytics.rfm_nights import RfmNights, latest, refresh_if_due
from cli.app import app
from ledger.core.calendar import from_instant
from ledger.errors import LedgerError
from ledger.settings import Settings, load_settings
from projections import queries
from projections.errors import ProjectionError
from projections.runner import Runner
from tests.projections.conftest import Shop
from tests.projections.history import catch_up
from tests.projections.log_writer import SHARDS, day, purchase

MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")

WAIT_SECONDS = 300.0


@pytest.mark.parametrize(
    ("now", "zone", "expected"),
    [
        ("2026-03-05T00:00:00", MOSCOW, "2026-03-05T00:00:00"),
        ("2026-03-04T23:59:59", MOSCOW, "2026-03-04T00:00:00"),
        # 3 o'clock of the summer's first day was 1 UTC; of the winter's first day it is 2 UTC.
        ("2026-03-29T05:00:00", BERLIN, "2026-03-29T01:00:00"),
        ("2026-10-25T05:00:00", BERLIN, "2026-10-25T02:00:00"),
    ],
)
def test_the_hour_is_local(now: str, zone: ZoneInfo, expected: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert latest(moment, 3, zone) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.fixture
def settings(shop: Shop) -> Settings:
    """Of the shop's ledger."""
    return load_settings({}, database_url=shop.url, shards=SHARDS, partitions=2)


@pytest.fixture
def folding(shop: Shop) -> Iterator[None]:
    """The read models are kept up."""
    runner = Runner(shop.url)
    thread = threading.Thread(target=runner.run)
    thread.start()
    yield
    runner.stop()
    thread.join(WAIT_SECONDS)


def await_fold(shop: Shop) -> None:
    """Until the running fold has taken all that was written."""
    deadline = datetime.now(UTC) + timedelta(seconds=WAIT_SECONDS)
    while datetime.now(UTC) < deadline:
        standings = queries.standings(shop.session)
        if standings and not any(standing.behind for standing in standings):
            return
        threading.Event().wait(0.05)
    raise AssertionError("not folded in time")


def recorded(shop: Shop) -> list[datetime]:
    """The moments of the bounds in the read model."""
    rows = shop.session.execute("SELECT as_of FROM read.rfm_bounds ORDER BY position").fetchall()
    return [row[0] for row in rows]


@pytest.mark.usefixtures("folding")
def test_once_a_day(shop: Shop, settings: Settings) -> None:
    for n in range(6):
        shop.log.take(f"m{n}", purchase(f"o{n}", day(n), [1_000 * n]))
    await_fold(shop)
    first = refresh_if_due(settings, 3, day(10))
    assert first is not None
    assert from_instant(first.as_of) == day(9) + timedelta(hours=3)
    assert first.members == 6
    assert refresh_if_due(settings, 3, day(10)) is None
    assert refresh_if_due(settings, 3, day(10.12)) is None
    # Three nights later one is made up for: the latest.
    again = refresh_if_due(settings, 3, day(13.5))
    assert again is not None
    assert recorded(shop) == [day(9) + timedelta(hours=3), day(13) + timedelta(hours=3)]


def test_another_process_at_it_is_left_alone(shop: Shop, settings: Settings) -> None:
    shop.log.take("m1", purchase("o1", day(1)))
    catch_up(shop.session)
    shop.session.execute("SELECT pg_advisory_lock(%s)", [0x52464D42])
    assert refresh_if_due(settings, 3, day(10)) is None
    assert recorded(shop) == []


def test_nobody_has_bought_yet(settings: Settings) -> None:
    with pytest.raises(ProjectionError) as refused:
        refresh_if_due(settings, 3, day(10))
    assert refused.value.code == "no_purchases"


@pytest.mark.usefixtures("folding")
def test_the_thread_records_and_ends(shop: Shop, settings: Settings) -> None:
    shop.log.take("m1", purchase("o1", day(1)))
    await_fold(shop)
    nights = RfmNights(settings, 3)
    nights.start()
    deadline = datetime.now(UTC) + timedelta(seconds=WAIT_SECONDS)
    while not recorded(shop) and datetime.now(UTC) < deadline:
        threading.Event().wait(0.1)
    nights.stop()
    (as_of,) = recorded(shop)
    assert timedelta(0) <= datetime.now(UTC) - as_of < timedelta(days=1, minutes=5)


def test_what_nobody_foresaw_ends_the_process(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(rfm_nights, "refresh_if_due", fail)
    monkeypatch.setattr("cli.projections.signal.signal", lambda *_: None)
    monkeypatch.setattr("cli.logs.configure", lambda: None)
    monkeypatch.setenv("POINTS_DATABASE_URL", shop.url)
    monkeypatch.setenv("POINTS_RFM_REFRESH_HOUR", "3")
    done = CliRunner().invoke(app, ["projections", "run"])
    assert isinstance(done.exception, LedgerError)
    assert done.exception.code == "rfm_failed"
    assert "a bug" in done.exception.message
    assert "ZeroDivisionError" in caplog.text


def test_what_passes_by_itself_is_tried_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Semaphore(0)

    def refuse(*_: object) -> None:
        looked.release()
        raise LedgerError("The database is away.", "database_gone")

    monkeypatch.setattr(rfm_nights, "refresh_if_due", refuse)
    monkeypatch.setattr(rfm_nights, "LOOK_SECONDS", 0.01)
    nights = RfmNights(settings, 3)
    nights.start()
    assert all(looked.acquire(timeout=WAIT_SECONDS) for _ in range(3))
    nights.stop()
    assert nights.failure is None
