"""Accounts from the log: cold is warm, snapshots are a shortcut and never the truth."""

import random

import psycopg
import pytest

from ledger import numbering
from ledger.accounts import account_id_of
from ledger.aggregate import AccountAggregate, Accounts
from ledger.core import snapshot
from ledger.errors import AccountDamaged, ClosedDoor
from ledger.settings import Settings
from schemas.inputs import InputEvent
from tests.ledger.events import direct, purchase, returned, shares_shard, survey
from tests.ledger.opened import opened, run


def history(seed: int, count: int) -> list[InputEvent]:
    """Purchases and returns of a few members, some of them returns before their purchase."""
    choice = random.Random(seed)
    events: list[InputEvent] = [survey(f"m{n}") for n in range(4)]
    for number in range(count):
        member = f"m{choice.randrange(4)}"
        at = number * 0.7
        pair: list[InputEvent] = [purchase(member, f"o{number}", at, choice.randrange(50_000))]
        if choice.random() < 0.3:
            pair.append(returned(member, f"o{number}", f"r{number}", at + choice.uniform(0.1, 20)))
            choice.shuffle(pair)
        events += pair
    return events


@pytest.mark.parametrize("every", [7, 256])
def test_cold_is_warm(settings: Settings, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    """A ledger that forgets everything between batches ends where one that remembers does."""
    monkeypatch.setattr(numbering, "SNAPSHOT_EVERY", every)
    events = history(seed=1, count=60)

    async def test() -> None:
        async with opened(settings) as ledger:
            for start in range(0, len(events), 10):
                await ledger.handle(direct(*events[start : start + 10]))
            for number in range(4):
                member = f"m{number}"
                warm = next(
                    entry.account
                    for (_, name), entry in ledger.cache._entries.items()
                    if name == member
                )
                assert warm == await ledger.account(member)

    run(test())


def test_a_cache_of_few_accounts_is_right(settings: Settings) -> None:
    events = history(seed=2, count=40)

    async def test() -> None:
        async with opened(settings) as ledger:
            ledger.cache.accounts_max = 2
            for start in range(0, len(events), 7):
                await ledger.handle(direct(*events[start : start + 7]))
                assert len(ledger.cache) <= 2
            assert ledger.cache.misses > 4

    run(test())


def test_a_snapshot_of_another_schema_is_ignored(
    settings: Settings, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "SNAPSHOT_EVERY", 5)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(*(purchase("m1", f"o{n}", n / 10) for n in range(12))))
            # Written once for the batch, with the account's last state.
            found = owner.execute("SELECT version, schema_hash FROM ledger.snapshots").fetchall()
            assert found == [(12, snapshot.SCHEMA_HASH)]
            right = await ledger.account("m1")
            owner.execute("UPDATE ledger.snapshots SET schema_hash = 'old', state = 'nonsense'")
            assert await ledger.account("m1") == right
            # The next one replaces it.
            await ledger.handle(direct(*(purchase("m1", f"p{n}", 2) for n in range(5))))
            row = owner.execute("SELECT version, schema_hash FROM ledger.snapshots").fetchone()
            assert row == (17, snapshot.SCHEMA_HASH)

    run(test())


def test_a_wrong_snapshot_is_noticed(
    settings: Settings, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that says a version which its state does not have: an event would be missing."""
    monkeypatch.setattr(numbering, "SNAPSHOT_EVERY", 5)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(*(purchase("m1", f"o{n}", n / 10) for n in range(5))))
            await ledger.handle(direct(*(purchase("m1", f"p{n}", 1) for n in range(3))))
            owner.execute("UPDATE ledger.snapshots SET version = 6")
            with pytest.raises(AccountDamaged, match="the account has 5 events"):
                await ledger.account("m1")
            owner.execute("DELETE FROM ledger.snapshots")

    run(test())


def test_the_library_reads_the_same_account(
    settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "SNAPSHOT_EVERY", 4)
    (neighbour,) = shares_shard("m1", 1)

    async def test() -> None:
        async with opened(settings) as ledger:
            for number in range(3):
                events = [purchase("m1", f"o{number}-{n}", number) for n in range(3)]
                await ledger.handle(direct(*events, survey(neighbour, name=f"c{number}")))
            account = await ledger.account("m1")
            with Accounts(env={"DATABASE_URL": url}) as library:
                account_id = account_id_of(ledger.identity.program_id, "m1")
                aggregate: AccountAggregate = library.repository.get(account_id)
                assert (aggregate.id, aggregate.version) == (account_id, 9)
                assert aggregate.account == account
                early: AccountAggregate = library.repository.get(account_id, version=2)
                assert early.version == 2
                assert account_id_of(ledger.identity.program_id, "nobody") not in library.repository
                stored = library.events.get(account_id)
                assert [event.originator_version for event in stored] == list(range(1, 10))

    run(test())


def test_the_library_has_no_second_door(url: str) -> None:
    with Accounts(env={"DATABASE_URL": url}) as library:
        with pytest.raises(ClosedDoor):
            library.save()
        with pytest.raises(ClosedDoor):
            library.events.put([])
        with pytest.raises(ClosedDoor):
            _ = library.notification_log
        with pytest.raises(ClosedDoor):
            library.take_snapshot(account_id_of("tests", "m1"))
        for closed in (
            lambda: library.recorder.select_notifications(1, 1),
            library.recorder.max_notification_id,
            library.recorder.subscribe,
            library.factory.process_recorder,
            library.factory.tracking_recorder,
        ):
            with pytest.raises(ClosedDoor):
                closed()
