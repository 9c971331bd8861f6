"""The Merkle tree of checkpoints: grown event by event it is what RFC 6962 says, and proves."""

from hashlib import sha256

import pytest

from audit.tree import Tree, leaf, node, root_of, siblings, subtree_of

HASHES = [sha256(b"%d" % number).digest() for number in range(70)]


def whole(hashes: list[bytes]) -> bytes:
    """The root of a whole subtree, by the definition."""
    if len(hashes) == 1:
        return sha256(b"\x00" + hashes[0]).digest()
    half = len(hashes) // 2
    return sha256(b"\x01" + whole(hashes[:half]) + whole(hashes[half:])).digest()


def parts(count: int) -> list[bytes]:
    """The roots of the whole subtrees of the first `count` hashes, the largest first."""
    found, first = [], 0
    for level in reversed(range(count.bit_length())):
        if count >> level & 1:
            found.append(whole(HASHES[first : first + (1 << level)]))
            first += 1 << level
    return found


def test_a_tree_grows_as_the_log_does() -> None:
    tree = Tree()
    for count, each in enumerate(HASHES, 1):
        tree.add(each)
        assert (tree.count, tree.roots) == (count, parts(count))
        tree = Tree(tree.count, tree.roots)  # as a checkpoint keeps it


def test_every_event_is_proved_by_a_hash_for_each_level() -> None:
    for count in range(1, len(HASHES) + 1):
        roots = parts(count)
        for position in range(1, count + 1):
            number, first, size = subtree_of(count, position)
            root, index = leaf(HASHES[position - 1]), position - first
            beside = siblings(first, size, position)
            assert len(beside) == size.bit_length() - 1
            for start, width in beside:
                other = root_of(HASHES[start - 1 : start - 1 + width])
                root = node(other, root) if index & 1 else node(root, other)
                index >>= 1
            assert root == roots[number]


def test_what_is_no_tree_is_refused() -> None:
    for refused in (
        lambda: Tree(3, [HASHES[0]]),
        lambda: subtree_of(5, 6),
        lambda: subtree_of(5, 0),
        lambda: root_of(HASHES[:3]),
    ):
        with pytest.raises(ValueError, match="events"):
            refused()
