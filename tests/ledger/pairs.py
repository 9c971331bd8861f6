"""Inputs on two accounts, a ledger whose program allows them, and many processes that send them.

`python -m tests.ledger.pairs URL NUMBER` is one process of a ring: its transfers go round among
members whom all processes share; it prints how many were applied, refused and duplicates.
"""

import asyncio
import sys
from collections import Counter
from random import Random

from ledger.application import Ledger
from ledger.received import Received
from ledger.settings import load_settings
from ledger.sharding import shard_of
from schemas import inputs
from schemas.inputs import InputEvent
from tests.ledger.events import PARTITIONS, SHARDS, direct, head

RING = tuple(f"m{number}" for number in range(7))
"""The members of the ring; a number prime to the sizes of the batches."""

BATCHES, PER_BATCH = 20, 5
"""What each process sends: enough to meet the others many times."""


def transfer(giver: str, to: str, name: str, at: float = 1, points: int = 1) -> InputEvent:
    """`giver` gives points."""
    return inputs.PointsTransfer(
        **head(giver, f"transfer-{name}", at), data=inputs.TransferData(to, points)
    )


def merge(member: str, into: str, at: float = 1) -> InputEvent:
    """The account of `member` ends."""
    return inputs.AccountMerge(
        **head(member, f"merge-{member}-{into}", at),
        data=inputs.MergeData(into, "anna", "one person"),
    )


def standing(kind: type, member: str, at: float = 1) -> InputEvent:
    """Freeze, unfreeze or close."""
    event: InputEvent = kind(
        **head(member, f"{kind.__name__}-{member}-{at}", at),
        data=inputs.StandingData("anna", "as asked"),
    )
    return event


def elsewhere(*members: str, count: int = 1) -> list[str]:
    """Members whose shards are those of none of `members`, nor of each other."""
    taken = {shard_of(member, SHARDS) for member in members}
    found: list[str] = []
    for number in range(100_000):
        name = f"x{number}"
        if shard_of(name, SHARDS) not in taken and len(found) < count:
            found.append(name)
            taken.add(shard_of(name, SHARDS))
    return found


def ring(process: int) -> list[list[Received]]:
    """The batches of one process; every second transfer another process sends, too."""
    random = Random(process)
    batches = []
    for batch in range(BATCHES):
        events = []
        for n in range(PER_BATCH):
            number = batch * PER_BATCH + n
            owner = process // 2 if n % 2 else process
            shared = Random(f"{owner}-{number}") if n % 2 else random
            giver = shared.randrange(len(RING))
            step = shared.randrange(1, len(RING))
            name = f"{owner}-{number}" if n % 2 else f"{process}-{number}-own"
            points = shared.randint(1, 30)
            to = RING[(giver + step) % len(RING)]
            events.append(transfer(RING[giver], to, name, at=10, points=points))
        batches.append(direct(*events))
    return batches


async def send(url: str, process: int) -> Counter[str]:
    """Send all batches of one process."""
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    ledger = await Ledger.open(settings)
    kinds: Counter[str] = Counter()
    for batch in ring(process):
        kinds.update(outcome.kind for outcome in await ledger.handle(batch))
    await ledger.close()
    return kinds


if __name__ == "__main__":
    done = asyncio.run(send(sys.argv[1], int(sys.argv[2])))
    sys.stdout.write(" ".join(str(done[k]) for k in ("applied", "refused", "duplicate")) + "\n")
