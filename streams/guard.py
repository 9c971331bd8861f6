"""Are the topics that are fetched still those whose offsets are stored?

A topic that is deleted, created again and filled past our offset between two fetches looks like the
old one to a client that fetches by name. So after records came, the brokers that sent them are
asked for the topics' ids, before the records are handed on: an id that is still the old one then
was the old one when they were sent. What cannot be asked now is not confirmed; the caller fetches
again. One question costs a fetch some 0.3 ms, and equal answers are compared unparsed.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from ledger.errors import WorkerStopped
from streams.described import Described, Topic, ask, parse

CONFIRM_SECONDS = 5.0
"""What one question may take: a thousand times what it takes on a healthy broker."""

IDLE_SECONDS = 2.0
"""How often is asked while nothing comes: how late a topic that was recreated or given more
partitions is noticed."""

GONE_SECONDS = 30.0
"""A topic that no broker tells of for so long is gone: brokers that restart are back by then."""

log = structlog.get_logger(__name__)


class TopicGuard:
    """For the thread that fetches. `expect` what was assigned, `confirm` what was fetched."""

    def __init__(self) -> None:
        self._expected: Mapping[str, Topic] = {}
        self._good: dict[int, bytes] = {}
        self._asked_at = 0.0
        self._gone_since: float | None = None

    def expect(self, described: Described) -> None:
        """From now on the topics are these."""
        self._expected = described.topics
        self._good = {}
        self._asked_at = time.monotonic()
        self._gone_since = None

    @property
    def due(self) -> bool:
        """Whether it is time to ask although nothing came."""
        return time.monotonic() - self._asked_at >= IDLE_SECONDS

    async def confirm(self, client: Any, nodes: Iterable[int]) -> bool:
        """Whether each of these brokers still tells of the same topics; False when one could not
        be asked, or does not tell of a topic now. Raises: WorkerStopped (topic_recreated,
        topic_partitions_differ, input_lost)."""
        if not any(topic.topic_id for topic in self._expected.values()):
            self._asked_at = time.monotonic()
            return True  # brokers that are too old
        names = sorted(self._expected)
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                for node in sorted(set(nodes)):
                    answer = await ask(client, node, names)
                    if answer is not None and answer != self._good.get(node):
                        if not self._same(parse(answer)):
                            return False
                        self._good[node] = answer
        except (KafkaError, OSError, TimeoutError) as error:
            log.info("topics_not_confirmed", error=repr(error))
            self._gone_since = None  # a broker that cannot be asked has not said that one is gone
            return False
        finally:
            self._asked_at = time.monotonic()  # one that does not answer must not be all we ask
        self._gone_since = None
        return True

    def _same(self, described: Described) -> bool:
        for name, expected in self._expected.items():
            found = described.topics.get(name)
            if found is None:
                self._missing(name)
                return False
            check_same(name, expected, found)
        return True

    def _missing(self, name: str) -> None:
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = now
        elif now - self._gone_since > GONE_SECONDS:
            raise WorkerStopped(
                f"Topic {name} was deleted under the worker: restore it, or create it and fill it"
                " from its source, then run `points kafka adopt` (what was taken before is then a"
                " duplicate).",
                "input_lost",
            )


def check_same(name: str, expected: Topic, found: Topic) -> None:
    """Raises: WorkerStopped (topic_recreated, topic_partitions_differ)."""
    if None not in (expected.topic_id, found.topic_id) and expected.topic_id != found.topic_id:
        raise recreated(name)
    if expected.partitions != found.partitions:
        raise WorkerStopped(
            f"Topic {name} had {expected.partitions} partitions and has {found.partitions} now: a"
            " member's next record may be in another partition than the last, and be decided"
            " before it. Recreate the topics with the right number and fill them from their"
            " source, then run `points kafka adopt` (what was taken before is then a duplicate).",
            "topic_partitions_differ",
        )


def recreated(name: str) -> WorkerStopped:
    """The sentence for a topic with another id than the one whose offsets are stored."""
    return WorkerStopped(
        f"Topic {name} was deleted and created again: its offsets are not those that were stored."
        " Nothing of it was taken. Restore the old topic; or fill the new one from its source and"
        " run `points kafka adopt` (what was taken before is then a duplicate).",
        "topic_recreated",
    )
