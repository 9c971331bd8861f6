"""The runner: woken by a notification, back after a lost database, in order when stopped."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ledger.sharding import shard_of
from projections import folding
from projections import runner as runner_module
from projections.errors import DatabaseLost
from projections.runner import Runner
from tests.projections.conftest import Shop
from tests.projections.history import dump, folded_anew, write_history
from tests.projections.log_writer import SHARDS, day, purchase

WAIT_SECONDS = 300.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, within a bound."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@contextmanager
def running(shop: Shop) -> Iterator[Runner]:
    runner = Runner(shop.url)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def orders(shop: Shop) -> int:
    row = shop.session.execute("SELECT count(*) FROM read.member_purchases").fetchone()
    assert row is not None
    return int(row[0])


def test_it_is_woken_by_a_notification(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than the test may take: only the notification can have woken it.
    monkeypatch.setattr(runner_module, "POLL_SECONDS", 10 * WAIT_SECONDS)
    shop.log.take("anna", purchase("o1", day(1)))
    with running(shop):
        until(lambda: orders(shop) == 1)
        shop.log.take("anna", purchase("o2", day(2)))
        until(_notified(shop, 2))


def _notified(shop: Shop, wanted: int) -> Callable[[], bool]:
    def asked() -> bool:
        shop.log.connection.execute("NOTIFY points_ledger, '1'")
        return orders(shop) == wanted

    return asked


def test_it_notices_what_no_notification_told(shop: Shop) -> None:
    with running(shop):
        shop.log.take("anna", purchase("o1", day(1)))
        until(lambda: orders(shop) == 1)


def test_every_shard_has_its_turn_before_news_gathers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the test may take: a member whose shard came after the pause would not be seen.
    monkeypatch.setattr(runner_module, "LINGER_SECONDS", 10 * WAIT_SECONDS)
    for module in (runner_module, folding):
        monkeypatch.setattr(module, "BATCH_SHARDS", 1)
    members = [f"member-{n}" for n in range(8 * SHARDS)]
    assert {shard_of(member, SHARDS) for member in members} == set(range(SHARDS))
    for n, member in enumerate(members):
        shop.log.take(member, purchase(f"o{n}", day(1)))
    with running(shop):
        until(lambda: orders(shop) == len(members))


def test_it_goes_on_after_its_session_was_killed(shop: Shop) -> None:
    write_history(shop.log, 21, inputs=40)
    with running(shop):
        until(lambda: orders(shop) > 0)
        for n in range(5):
            shop.log.connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'points projections' "
                "AND pid <> %s",
                [shop.session.info.backend_pid],
            )
            write_history(shop.log, 22 + n, inputs=10, first=40 + 10 * n)
        until(lambda: "behind" not in _behind(shop))
    assert dump(shop.session) == folded_anew(shop)


def _behind(shop: Shop) -> str:
    row = shop.session.execute("SELECT max(behind) FROM read.progress").fetchone()
    assert row is not None
    return "behind" if row[0] else "up to date"


def test_it_gives_up_after_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "GIVE_UP_SECONDS", 0.2)
    runner = Runner("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseLost) as caught:
        runner.run()
    assert caught.value.code == "database_lost"


def test_a_refused_statement_is_not_retried(shop: Shop) -> None:
    shop.log.take("anna", purchase("o1", day(1)))
    shop.log.connection.execute("REVOKE INSERT ON read.balances FROM points_app")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Runner(shop.url).run(until_caught_up=True)


_SCANS = (
    "SELECT sum(seq_scan), sum(idx_scan) FROM pg_stat_user_tables"
    " WHERE schemaname = 'read' AND relname <> 'positions'"
)


def _scans(shop: Shop) -> tuple[int, int]:
    row = shop.session.execute(_SCANS).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def test_rows_are_found_by_index_however_small_the_tables_were(shop: Shop) -> None:
    for number in range(20):
        shop.log.take(f"m-{number}", purchase(f"first-{number}", day(1)))
        Runner(shop.url).run(until_caught_up=True)
    for number in range(20):
        shop.log.take(f"m-{number}", purchase(f"second-{number}", day(2)))
    read, found = _scans(shop)
    assert Runner(shop.url).run(until_caught_up=True) > 0
    until(lambda: _scans(shop)[1] > found)  # told when its session has ended
    assert _scans(shop)[0] == read
