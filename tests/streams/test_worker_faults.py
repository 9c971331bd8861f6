"""Exactly once, whatever dies when: kill -9 in mid-chunk, a rebalance, lost database sessions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streams.workers import (
    Event,
    Stage,
    make_stage,
    purchase,
    running,
    send,
    survey,
    until,
)

MEMBERS = 500
PURCHASES = 8_000


@pytest.fixture(scope="module")
def stage(database: str, kafka_topics: str) -> Stage:
    return make_stage(database, kafka_topics)


def history(name: str, purchases: int) -> Iterator[Event]:
    """Purchases of many members, a minute apart, with a survey of each member on the way."""
    for n in range(purchases):
        member = f"{name}-m{n % MEMBERS}"
        hours, minute = divmod(n, 60)
        days, hour = divmod(hours, 24)
        at = f"2023-02-{1 + days:02}T{hour:02}:{minute:02}:00Z"
        yield purchase(member, f"{name}-{n}", at)
        if n < MEMBERS:
            yield survey(member, f"{name}-s{n}", at)


def events_of(stage: Stage) -> int:
    ((count,),) = stage.ask("SELECT count(*) FROM ledger.events WHERE type = 'PurchaseRewarded'")
    return int(count)


def check_exactly_once(stage: Stage, name: str) -> None:
    """Every purchase of the history `name` is one event, and no shard has a gap."""
    order = "convert_from(payload, 'UTF8')::jsonb -> 'purchase' ->> 'order_id'"
    taken = stage.ask(
        f"SELECT count(*), count(DISTINCT {order}) FROM ledger.events"
        f" WHERE type = 'PurchaseRewarded' AND {order} LIKE %s",
        f"{name}-%",
    )
    assert taken == [(PURCHASES, PURCHASES)]
    gaps = stage.ask(
        "SELECT shard FROM ledger.events GROUP BY shard HAVING count(*) <> max(position)"
    )
    assert gaps == []
    outcomes = stage.outcomes()
    assert set(outcomes) == {("purchases", "applied"), ("surveys", "applied")}
    assert outcomes["purchases", "applied"] == events_of(stage)


def test_a_worker_killed_in_mid_chunk_again_and_again_loses_and_doubles_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    before = events_of(stage)
    send(stage.bootstrap, history("kill", PURCHASES))
    unfinished = 0
    for kill, share in enumerate((0.15, 0.4, 0.6)):
        wanted = before + share * PURCHASES
        with running(stage, tmp_path / f"log{kill}", "--history", session_timeout_seconds=6) as w:
            until(lambda wanted=wanted: events_of(stage) >= wanted, "some were taken")  # type: ignore[misc]
            w.kill()
        unfinished += events_of(stage) < before + PURCHASES
    assert unfinished  # on a machine that stands still for seconds the last may come too late
    arguments = ("--history", "--until-idle", "0.5")
    with running(stage, tmp_path / "last", *arguments, session_timeout_seconds=6) as worker:
        assert worker.wait() == 0, worker.errors()
    check_exactly_once(stage, "kill")


def test_a_second_worker_takes_its_share_and_then_all_of_it(stage: Stage, tmp_path: Path) -> None:
    def partitions(worker: object) -> float:
        return worker.metric("points_partitions_assigned")  # type: ignore[attr-defined, no-any-return]

    before = events_of(stage)
    arguments = ("--history",)
    with running(stage, tmp_path / "one", *arguments, session_timeout_seconds=6) as one:
        until(lambda: partitions(one) == 8, "the first has all")
        with running(stage, tmp_path / "two", *arguments, session_timeout_seconds=6) as two:
            until(lambda: partitions(one) == 4 == partitions(two), "each has a half")
            send(stage.bootstrap, history("share", PURCHASES))
            until(lambda: two.metric("points_inputs_total") > 0, "the second takes part")
            one.kill()
            until(lambda: partitions(two) == 8, "the second has all")
            until(lambda: events_of(stage) == before + PURCHASES, "all were taken")
            until(lambda: two.metric("points_lag_records") == 0, "no lag")
            assert two.terminate() == 0, two.errors()
    check_exactly_once(stage, "share")


def test_a_frozen_worker_that_wakes_up_changes_nothing(stage: Stage, tmp_path: Path) -> None:
    before = events_of(stage)
    send(stage.bootstrap, history("frozen", PURCHASES))
    with running(stage, tmp_path / "one", "--history", session_timeout_seconds=6) as one:
        until(lambda: events_of(stage) > before + 0.1 * PURCHASES, "some were taken")
        one.freeze()
        taken_over = min(events_of(stage) + 0.2 * PURCHASES, before + PURCHASES - 1)
        with running(stage, tmp_path / "two", "--history", session_timeout_seconds=6) as two:
            until(lambda: events_of(stage) > taken_over, "the second took over")
            one.thaw()
            until(lambda: events_of(stage) == before + PURCHASES, "all were taken")
            assert two.terminate() == 0, two.errors()
        assert one.terminate() == 0, one.errors()
    check_exactly_once(stage, "frozen")


def test_lost_database_sessions_are_survived_in_place(stage: Stage, tmp_path: Path) -> None:
    before = events_of(stage)
    send(stage.bootstrap, history("lost", PURCHASES))
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'points' AND datname = current_database()"
    )
    with running(stage, tmp_path / "log", "--history") as worker:
        for share in (0.1, 0.4, 0.7):
            wanted = before + share * PURCHASES
            until(lambda wanted=wanted: events_of(stage) > wanted, "some were taken")  # type: ignore[misc]
            assert stage.ask(cut)
        until(lambda: events_of(stage) == before + PURCHASES, "all were taken")
        assert worker.metric("points_append_retries_total") > 0
        assert worker.terminate() == 0, worker.errors()
    check_exactly_once(stage, "lost")
