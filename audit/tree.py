"""A Merkle tree over the hashes of a shard's events, grown as the log grows.

As in RFC 6962: a leaf is SHA-256(0x00 ‖ event hash), a node SHA-256(0x01 ‖ left ‖ right). A log of
n events is a row of whole subtrees, one for each 1 among the binary digits of n, the largest first;
a checkpoint holds their roots, at most 63 hashes. So the next checkpoint reads only what came
since, and an event is proved by one hash for each level of its subtree.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

LEAF = b"\x00"
NODE = b"\x01"


def leaf(event_hash: bytes) -> bytes:
    """The leaf of an event."""
    return sha256(LEAF + event_hash).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The root of two subtrees of one size."""
    return sha256(NODE + left + right).digest()


class Tree:
    """The roots of the whole subtrees of the first `count` events, the largest first."""

    __slots__ = ("count", "roots")

    def __init__(self, count: int = 0, roots: Sequence[bytes] = ()) -> None:
        """Raises ValueError: a tree of `count` events has another number of subtrees."""
        if len(roots) != count.bit_count():
            raise ValueError(f"{count} events have {count.bit_count()} subtrees, not {len(roots)}")
        self.count = count
        self.roots = list(roots)

    def add(self, event_hash: bytes) -> None:
        """Append an event."""
        root, size = leaf(event_hash), self.count
        while size & 1:  # a subtree of the same size is there: both become one
            root = node(self.roots.pop(), root)
            size >>= 1
        self.roots.append(root)
        self.count += 1


def root_of(event_hashes: Iterable[bytes]) -> bytes:
    """The root of one whole subtree. Memory: one hash for each level. Raises ValueError unless
    their number is a power of 2."""
    tree = Tree()
    for each in event_hashes:
        tree.add(each)
    if len(tree.roots) != 1:
        raise ValueError(f"{tree.count} events are no whole subtree")
    return tree.roots[0]


def subtree_of(count: int, position: int) -> tuple[int, int, int]:
    """The whole subtree that holds a position of a tree of `count` events: which one of the row,
    its first position, its size. Raises ValueError: there is no such position."""
    if not 1 <= position <= count:
        raise ValueError(f"there are {count} events")
    first = 1
    for number, level in enumerate(
        level for level in reversed(range(count.bit_length())) if count >> level & 1
    ):
        size = 1 << level
        if position < first + size:
            return number, first, size
        first += size
    raise AssertionError("the subtrees hold every position")


def siblings(first: int, size: int, position: int) -> list[tuple[int, int]]:
    """What proves a position within a whole subtree, from the leaf up: the subtrees beside its way
    to the root, as first position and size."""
    found = []
    width = 1
    index = position - first
    while width < size:
        beside = (index // width) ^ 1
        found.append((first + beside * width, width))
        width *= 2
    return found
