"""Folding gives the same bytes whatever the batch, the order of shards or who folded when."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import Connection

from ledger.core.calendar import to_instant
from ledger.sharding import shard_of
from projections import cache, folding, positions, tables
from projections.balances import LOTS
from projections.cache import MemberCache
from projections.errors import LogDamaged
from projections.folding import Folder
from projections.log import Entry, few_histories
from projections.rfm import compute_bounds
from projections.round_trip import RoundTrip
from projections.runner import Runner, read_models
from projections.tables import Row, Writes
from schemas.decisions import RfmBoundsSet
from tests.projections.conftest import Shop
from tests.projections.history import catch_up, dump, empty, folded_anew, write_history
from tests.projections.log_writer import PROGRAM, SHARDS, day, program, purchase

LATER = PROGRAM.replace("2016-01-01", "2017-10-01").replace("at_least: 60}", "at_least: 30}")
LATER = LATER.replace("grace: P1M", "grace: P2M")

OTHER_BOUNDS = RfmBoundsSet(
    occurred_at=to_instant(day(150)),
    as_of=to_instant(day(150)),
    members=3,
    recency_days=(5, 10, 20, 40),
    frequency=(1, 1, 2, 3),
    monetary=(100, 2_000, 9_000, 20_000),
)

WAIT_SECONDS = 300.0


@pytest.mark.parametrize("seed", [1, 2])
def test_batches_caches_and_shard_orders_do_not_show(shop: Shop, seed: int) -> None:
    write_history(shop.log, seed)
    catch_up(shop.session)
    first = dump(shop.session)
    assert all(first[name] for name in first if name not in ("rfm_bounds", "referral_steps"))
    for batch_events, cached in ((1, 100), (7, 2), (50, 1)):
        empty(shop.session)
        folder = Folder(read_models(), MemberCache(cached), batch_events)
        catch_up(shop.session, folder)
        assert dump(shop.session) == first
    empty(shop.session)
    folder = Folder(read_models(), batch_events=5)
    positions.ensure(shop.session, list(folder.models))
    for shard in (3, 1, -1, 0, 2):
        while folder.cycle(shop.session, [shard]):
            pass
    assert dump(shop.session) == first


@pytest.mark.parametrize(("events", "ahead"), [(500, 0), (500, 20_000), (0, 20_000)])
def test_news_of_many_shards_is_folded_alike(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, events: int, ahead: int
) -> None:
    """Read for all shards together, with the histories or without, or shard by shard. Histories
    that are long are never in memory together."""
    monkeypatch.setattr(folding, "AHEAD_EVENTS", events)
    monkeypatch.setattr(cache, "AHEAD_HISTORY_EVENTS", ahead)
    together = 0

    def counted(*arguments: Any) -> Iterator[Entry]:
        nonlocal together
        found = list(few_histories(*arguments))
        assert len(found) <= ahead
        together += len(found)
        return iter(found)

    monkeypatch.setattr(cache, "few_histories", counted)
    write_history(shop.log, 3, inputs=60)
    catch_up(shop.session)
    for first in range(60, 120, 12):
        write_history(shop.log, first, inputs=12, first=first)
        catch_up(shop.session, Folder(read_models()))
    assert dump(shop.session) == folded_anew(shop)
    assert (together > 0) == (bool(events) and ahead == 20_000)


@pytest.mark.parametrize("rows", [0, 7])
def test_rows_are_the_same_inserted_or_copied(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """All of a batch inserted is all of it copied, and so is some of each."""
    write_history(shop.log, 4, inputs=120)
    catch_up(shop.session)
    inserted = dump(shop.session)
    monkeypatch.setattr(tables, "INSERTED_MAX", rows)
    empty(shop.session)
    catch_up(shop.session, Folder(read_models(), batch_events=20))
    assert dump(shop.session) == inserted


def test_what_is_inserted_is_what_is_copied(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of several bytes, nothing where nothing is allowed, arrays of no and of many elements,
    the least and the largest numbers."""
    largest = 2**63 - 1
    rules: list[tuple[str, ...]] = [(), ("čaj", 'a "b", {c}', ""), ("NULL", "\\")]
    rows: list[Row] = [
        ("茶", number, of, "null", largest, -largest - 1, 0, -1, 0, -1, None if number else 0)
        for number, of in enumerate(rules)
    ]
    found = []
    for most in (0, 100):
        monkeypatch.setattr(tables, "INSERTED_MAX", most)
        shop.session.execute("TRUNCATE read.open_lots")
        writes = Writes()
        for row in rows:
            writes.append(LOTS, row)
        writes.flush(shop.session)
        found.append(shop.session.execute("SELECT * FROM read.open_lots ORDER BY lot").fetchall())
    assert found[0] == found[1]
    assert [tuple(row[2]) for row in found[0]] == rules


def test_few_events_are_folded_in_two_round_trips(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many shards, of members that are in memory."""
    write_history(shop.log, 5, inputs=60)
    folder = catch_up(shop.session)
    for member in range(12):
        shop.log.take(f"m{member}", purchase(f"new-{member}", day(300)))
    trips = 0
    entered = RoundTrip.__enter__

    def counted(trip: RoundTrip) -> RoundTrip:
        nonlocal trips
        trips += 1
        return entered(trip)

    monkeypatch.setattr(RoundTrip, "__enter__", counted)
    monkeypatch.setattr(type(shop.session), "execute", _only_within(shop.session))
    assert folder.cycle(shop.session) >= 12
    assert trips == 2
    monkeypatch.undo()
    assert dump(shop.session) == folded_anew(shop)


def _only_within(session: Connection) -> Callable[..., Any]:
    """`execute`, which fails where it would wait for an answer by itself."""
    execute = type(session).execute

    def executed(connection: Connection, *arguments: Any, **options: Any) -> Any:
        assert connection._pipeline is not None, "a round trip of its own"
        return execute(connection, *arguments, **options)

    return executed


def test_folding_as_the_log_grows_is_folding_it_afterwards(shop: Shop) -> None:
    folder = Folder(read_models(), MemberCache(5))
    for part in range(8):
        write_history(shop.log, part, inputs=15, first=part * 15)
        catch_up(shop.session, folder)
    assert dump(shop.session) == folded_anew(shop)


def test_a_program_version_and_bounds_recompute_every_member(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "REFRESH_ACCOUNTS", 3)
    folder = Folder(read_models())
    write_history(shop.log, 1, members=30, inputs=90)
    catch_up(shop.session, folder)
    before = dump(shop.session)
    shop.log.publish(program(LATER))
    catch_up(shop.session, folder)
    assert dump(shop.session)["segment_intervals"] != before["segment_intervals"]
    shop.log.system(compute_bounds(shop.session, to_instant(day(200))))
    assert folder.cycle(shop.session, [-1])
    assert folder.cycle(shop.session, [1]), "a page of the refresh"
    # In the middle of the refresh another event of the system shard: the refresh begins again.
    shop.log.system(OTHER_BOUNDS)
    write_history(shop.log, 2, members=30, inputs=20, first=90)
    catch_up(shop.session, folder)
    after = dump(shop.session)
    assert "champions" in after["segment_intervals"]
    assert after == folded_anew(shop)


def test_two_runners_at_once_fold_everything_once(shop: Shop) -> None:
    write_history(shop.log, 3, members=40, inputs=300)
    runners = [Runner(shop.url, batch_events=5) for _ in range(3)]
    failures: list[BaseException] = []

    def run(runner: Runner) -> None:
        try:
            runner.run(until_caught_up=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=[runner]) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
    assert not failures
    assert dump(shop.session) == folded_anew(shop)


def test_a_failed_transaction_changes_nothing(shop: Shop) -> None:
    write_history(shop.log, 8, inputs=40)
    folder = catch_up(shop.session)
    before = dump(shop.session)
    shop.log.take("m1", purchase("last", day(400)))
    shop.log.connection.execute(
        "ALTER TABLE read.segment_intervals "
        "ADD CONSTRAINT never CHECK (member_id <> 'm1') NOT VALID"
    )
    with pytest.raises(Exception, match="never"):
        catch_up(shop.session, folder)
    assert dump(shop.session) == before
    shop.log.connection.execute("ALTER TABLE read.segment_intervals DROP CONSTRAINT never")
    folder.forget()
    catch_up(shop.session, folder)
    assert dump(shop.session) == folded_anew(shop)


def test_a_missing_position_stops_the_folding(shop: Shop) -> None:
    write_history(shop.log, 9, inputs=40)
    shop.log.connection.execute("DELETE FROM ledger.events WHERE shard = 2 AND position = 3")
    with pytest.raises(LogDamaged) as caught:
        catch_up(shop.session)
    assert (caught.value.code, caught.value.shard, caught.value.position) == ("log_gap", 2, 3)


def test_a_missing_end_of_the_log_stops_the_folding(shop: Shop) -> None:
    write_history(shop.log, 9, inputs=40)
    folder = catch_up(shop.session)
    shop.log.connection.execute("UPDATE ledger.heads SET position = position + 1 WHERE shard = 3")
    with pytest.raises(LogDamaged) as caught:
        catch_up(shop.session, folder)
    assert (caught.value.code, caught.value.shard) == ("log_gap", 3)


def test_an_append_between_two_looks_is_no_missing_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another runner folded all there was, and while this one asks for the head more comes."""
    write_history(shop.log, 9, inputs=40)
    folder = catch_up(shop.session)
    shard = shard_of("m1", SHARDS)
    places = positions.places(shop.session, list(folder.models))[shard]
    monkeypatch.setattr(positions.Taken, "read", lambda _: ({shard: places}, False))
    head_of = positions.head_of

    def appended_before(connection: Connection, asked: int) -> int:
        monkeypatch.setattr(positions, "head_of", head_of)
        shop.log.take("m1", purchase("meanwhile", day(400)))
        return head_of(connection, asked)

    monkeypatch.setattr(positions, "head_of", appended_before)
    assert folder.cycle(shop.session) > 0
    monkeypatch.undo()
    assert dump(shop.session) == folded_anew(shop)


def test_an_unknown_event_stops_the_folding(shop: Shop) -> None:
    write_history(shop.log, 9, inputs=40)
    shop.log.connection.execute(
        'UPDATE ledger.events SET payload = \'{"type":"Invented"}\' WHERE shard = 1 '
        "AND position = 2"
    )
    with pytest.raises(LogDamaged) as caught:
        catch_up(shop.session)
    assert (caught.value.code, caught.value.shard, caught.value.position) == (
        "log_undecodable",
        1,
        2,
    )
