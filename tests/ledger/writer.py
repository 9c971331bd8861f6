"""A process that appends: `python -m tests.ledger.writer URL NUMBER` prints applied, duplicates."""

import asyncio
import sys

from ledger.application import Ledger
from ledger.settings import load_settings
from tests.ledger.events import PARTITIONS, SHARDS
from tests.ledger.test_concurrency import inputs_of


async def write(url: str, number: int) -> tuple[int, int]:
    """Handle all batches of one writer."""
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    ledger = await Ledger.open(settings)
    kinds: list[str] = []
    for batch in inputs_of(number):
        kinds += [outcome.kind for outcome in await ledger.handle(batch)]
    await ledger.close()
    return kinds.count("applied"), kinds.count("duplicate")


if __name__ == "__main__":
    sys.stdout.write("{} {}\n".format(*asyncio.run(write(sys.argv[1], int(sys.argv[2])))))
