"""The merge of one partition number's topics by `occurred_at`: pure, no clock, no I/O.

Takes the oldest head; at equal instants the topic that comes first in the given order. A topic's
records keep their order: an older record behind a newer one waits for it (it just is the head
when its turn comes). What is not here yet is asked for by `more`, which also says whether the
merge has to wait for it; then nothing is taken past that point.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")

UNTIMED = -(2**63)
"""The instant of what has none (it could not be decoded): it goes at once, it orders nothing."""


class Feed(Generic[Item]):
    """Records of one topic in offset order: their instants, their sizes in bytes, themselves."""

    __slots__ = ("items", "position", "sizes", "times")

    def __init__(self, times: Sequence[int], sizes: Sequence[int], items: Sequence[Item]) -> None:
        self.times = times
        self.sizes = sizes
        self.items = items
        self.position = 0

    @property
    def head(self) -> int:
        """The instant of the next record."""
        return self.times[self.position]


class Wait:
    """`more` answers WAIT when a topic has unread records that are not here yet."""


class Read:
    """`more` answers READ when a topic is read to its end: the merge does not wait for it."""


WAIT = Wait()
READ = Read()
More = Callable[[str], "Feed[Item] | Wait | Read"]


class Merge(Generic[Item]):
    """The heads of one partition number's topics. `topics`: in the order of ties."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._ranked = tuple(topics)
        self._feeds: dict[str, Feed[Item]] = {}

    def head(self, topic: str) -> int | None:
        """The instant of the topic's next record, if it is here."""
        feed = self._feeds.get(topic)
        return None if feed is None else feed.head

    def take(self, more: "More[Item]", records_max: int, bytes_max: int) -> list[Item]:
        """The next records in merged order, as many as may be taken now.

        At most `records_max` of at most `bytes_max` (but always one, however large). Empty when
        the merge has to wait or nothing is there.
        """
        taken: list[Item] = []
        room_bytes = bytes_max
        read: set[str] = set()
        while len(taken) < records_max:
            if not self._refill(more, read):
                break
            oldest = self._oldest()
            if oldest is None:
                break
            count, size = self._run(oldest, records_max - len(taken), room_bytes, not taken)
            if count == 0:
                break
            feed = self._feeds[oldest]
            taken.extend(feed.items[feed.position : feed.position + count])
            room_bytes -= size
            feed.position += count
            if feed.position == len(feed.times):
                del self._feeds[oldest]
        return taken

    def _refill(self, more: "More[Item]", read: set[str]) -> bool:
        """Ask for what is not here; False when the merge has to wait."""
        for topic in self._ranked:
            if topic in self._feeds or topic in read:
                continue
            answer = more(topic)
            if isinstance(answer, Wait):
                return False
            if isinstance(answer, Read):
                # Asked once per batch, so that a batch cannot go on for ever.
                read.add(topic)
            else:
                self._feeds[topic] = answer
        return True

    def _oldest(self) -> str | None:
        best, best_at = None, 0
        for topic in self._ranked:
            feed = self._feeds.get(topic)
            if feed is not None and (best is None or feed.head < best_at):
                best, best_at = topic, feed.head
        return best

    def _bound(self, topic: str) -> tuple[int | None, int | None]:
        """Up to when `topic` goes before the others: below the first (topics ranked before it
        win a tie), at most the second (topics ranked after it lose one). None: no bound."""
        below: int | None = None
        at_most: int | None = None
        before = True
        for other in self._ranked:
            if other == topic:
                before = False
                continue
            feed = self._feeds.get(other)
            if feed is None:
                continue
            if before:
                below = feed.head if below is None else min(below, feed.head)
            else:
                at_most = feed.head if at_most is None else min(at_most, feed.head)
        return below, at_most

    def _run(self, topic: str, records_max: int, bytes_max: int, first: bool) -> tuple[int, int]:
        """How many records of `topic` go before any other's head, and their bytes."""
        feed = self._feeds[topic]
        below, at_most = self._bound(topic)
        limit = at_most if below is None else below - 1
        if below is not None and at_most is not None:
            limit = min(below - 1, at_most)
        start = feed.position
        end = min(start + records_max, len(feed.times))
        times, sizes = feed.times, feed.sizes
        size = 0
        for index in range(start, end):
            if limit is not None and times[index] > limit:
                return index - start, size
            size += sizes[index]
            if size > bytes_max and not (first and index == start):
                return index - start, size - sizes[index]
        return end - start, size
