"""What the append stores does not change: the rows of a fixed history, by their hash.

Events and dedupe rows are kept for ever: whoever verifies a chain of years, or meets a record a
second time, expects the bytes that were written then. Left out of the hash are the columns that
differ from run to run: the clock's, and the chain's (which begins with the ledger's own id, and is
verified at the end). Where a change is meant, the hash is set anew with a reason in the commit.
"""

from hashlib import sha256
from random import Random

import psycopg
import pytest

from ledger import append, reading
from ledger.received import Received, tick
from ledger.settings import Settings
from schemas.inputs import InputEvent
from tests.ledger.events import (
    direct,
    erased,
    purchase,
    referral,
    reserve,
    returned,
    reward,
    survey,
)
from tests.ledger.opened import instant, opened, run

MEMBERS = 12
BATCH = 60

STORED = "7821f202001238d3cec063bdd5611aae54a08fda8a8c5b1314113b165c6d729f"
"""SHA-256 of the rows of all tables below, in their order."""

TABLES = (
    """SELECT shard, position, account_id, member_id, version, type, occurred_at, effects, payload
    FROM ledger.events WHERE shard >= 0 ORDER BY shard, position""",
    "SELECT shard, key, content, position FROM ledger.inputs ORDER BY shard, key",
    "SELECT shard, account_id, member_id, due_at FROM ledger.due ORDER BY shard, account_id",
    "SELECT shard, key, source FROM ledger.waiting ORDER BY shard, key",
    """SELECT source, type, outcome, sum(n) FROM ledger.outcome_counts
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
    "SELECT shard, position, decided_to FROM ledger.heads ORDER BY shard",
)


def history() -> list[Received]:
    """Inputs of many kinds, some twice, some returns before their purchases, some anonymous."""
    random = Random(7)
    events: list[InputEvent] = []
    for number in range(900):
        member = "m0" if random.random() < 0.4 else f"m{random.randrange(1, MEMBERS)}"
        at = number / 4 + random.choice((0.0, 0.0, -3.5))
        subject = member if random.random() < 0.95 else None
        events.append(purchase(subject, f"o{number}", at, random.randrange(60_000)))
        if random.random() < 0.15 and subject is not None:
            back = returned(member, f"o{number}", f"r{number}", at + random.choice((-1, 9)))
            events.insert(len(events) - random.choice((0, 0, 30)), back)
        if random.random() < 0.05:
            events.append(reserve(member, f"v{number}", at))
        if random.random() < 0.03:
            events.append(random.choice(events))
    for number in range(1, MEMBERS):
        events.insert(number * 20, survey(f"m{number}", number))
        events.insert(number * 7, referral(f"m{number}", f"m{number - 1}", 0))
    events += [reward("m1", "reward-1", 200), reward("m1", "reward-1", 200), erased("m3", 240)]
    items = direct(*events)
    items.insert(500, tick("m0", instant(100)))
    return items


def stored(connection: psycopg.Connection) -> str:
    """The hash of what is stored."""
    digest = sha256()
    for query in TABLES:
        for row in connection.execute(query).fetchall():
            digest.update(repr(row).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("most", [0, 1_000], ids=["copied", "inserted under the locks"])
def test_the_rows_of_a_fixed_history_are_the_same_bytes_as_ever(
    settings: Settings, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Whether an append is large or small decides how its rows are written, and nothing else."""
    monkeypatch.setattr(reading, "UNDER_LOCK_MAX", most)
    monkeypatch.setattr(append, "INSERTED_MAX", most)

    async def test() -> None:
        async with opened(settings) as ledger:
            items = history()
            for start in range(0, len(items), BATCH):
                await ledger.handle(items[start : start + BATCH])

    run(test())
    kinds = {row[0] for row in owner.execute("SELECT DISTINCT type FROM ledger.events")}
    assert kinds >= {"AccountSettled", "PurchaseRewarded", "PurchaseReturned", "ReturnWaiting"}
    assert stored(owner) == STORED
