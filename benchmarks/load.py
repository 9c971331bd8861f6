"""Loading a ledger through its door as the worker does: batches of one partition number, in order.

A year of shoppers who come every six days on average: the first half warms the cache of accounts,
the second is handled in rounds that are measured. Decoding is done before and not measured: the
worker does it before the door, too.
"""

from collections.abc import Iterator, Sequence
from random import Random

from msgspec import Struct
from pydantic import SecretStr

from benchmarks.shoppers import DAY, members, program, record
from ledger.application import Ledger
from ledger.core.calendar import to_instant
from ledger.received import INPUTS_MAX, Received, RecordRef, SourcePosition, TopicMove
from ledger.settings import Settings
from ledger.sharding import shard_of
from schemas.decode import decode_record, instant_of
from schemas.fields import Instant

DATABASE = "benchmarks_log"
"""The database whose log `append` makes and `fold` reads."""

SHARDS = 8
PARTITIONS = 2
"""Four shards for each partition number and, with MEMBERS, three hundred members: as in the demo,
where 32 shards and 2,469 members are divided among eight."""

MEMBERS = 600

EVERY_SECONDS = 6 * 86_400
"""Between two purchases of a member, on average: as in the demo's data."""

WARM_UP_DAYS = 180
"""Before the rounds: half a year, so that as many lots expire as open."""

ROUNDS = 3
ROUND_DAYS = 60
YEAR_DAYS = WARM_UP_DAYS + ROUNDS * ROUND_DAYS

TOPIC = "purchases"
GROUP = "benchmarks"


Visit = tuple[Instant, str, int]
"""When, who, and which of that member's purchases: 0, 1, 2 …."""


class Batch(Struct, frozen=True):
    """What one call of the door takes."""

    inputs: list[Received]
    source: SourcePosition


class Till:
    """Makes the batches, and knows the next offset of each partition number."""

    def __init__(self, count: int) -> None:
        self._offsets = [0] * PARTITIONS
        self._visits: list[list[Visit]] = [[] for _ in range(PARTITIONS)]
        start = to_instant(program().effective_from)
        for member in members(count):
            partition = shard_of(member, SHARDS) % PARTITIONS
            self._visits[partition].extend(_visits(member, start))
        for visits in self._visits:
            visits.sort(reverse=True)
        self._until = start

    def batches(self, days: int) -> list[Batch]:
        """The purchases of so many further days, by time; the partitions take turns."""
        self._until += days * DAY
        made = [list(self._of_partition(partition)) for partition in range(PARTITIONS)]
        longest = max(map(len, made))
        return [one[turn] for turn in range(longest) for one in made if turn < len(one)]

    def _of_partition(self, partition: int) -> Iterator[Batch]:
        visits = self._visits[partition]
        inputs: list[Received] = []
        while visits and visits[-1][0] < self._until:
            at, member, number = visits.pop()
            value = record(member, number, at)
            event = decode_record(value)
            offset = self._offsets[partition] + len(inputs)
            ref = RecordRef(TOPIC, partition, offset, member.encode(), value)
            inputs.append(Received(event, instant_of(event), record=ref))
            if len(inputs) == INPUTS_MAX or not visits or visits[-1][0] >= self._until:
                yield self._batch(partition, inputs)
                inputs = []

    def _batch(self, partition: int, inputs: list[Received]) -> Batch:
        first = self._offsets[partition]
        self._offsets[partition] += len(inputs)
        move = TopicMove(TOPIC, first, self._offsets[partition], b"\0" * 16)
        return Batch(inputs, SourcePosition(GROUP, partition, (move,)))


def _visits(member: str, start: Instant) -> Iterator[Visit]:
    """A year of them. Gaps as of people who come by chance: in a third of them no lot falls due."""
    random = Random(member)
    seconds, number = random.expovariate(1 / EVERY_SECONDS), 0
    while seconds < YEAR_DAYS * 86_400:
        yield start + int(seconds) * 1_000_000, member, number
        seconds += random.expovariate(1 / EVERY_SECONDS)
        number += 1


async def opened(url: str) -> Ledger:
    """The ledger of a database; close it."""
    return await Ledger.open(Settings(database_url=SecretStr(url)))


async def give(ledger: Ledger, batches: Sequence[Batch]) -> None:
    """Handle the batches one after the other. Raises AssertionError when one was not applied."""
    for batch in batches:
        outcomes = await ledger.handle(batch.inputs, batch.source)
        assert all(outcome.kind == "applied" for outcome in outcomes), outcomes
