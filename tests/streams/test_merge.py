"""The merge against a naive model: always the oldest head, never past what must be waited for."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from streams.merge import READ, UNTIMED, WAIT, Feed, Merge, Read, Wait

TOPICS = ("members", "surveys", "purchases")

Item = tuple[str, int, int]  # topic, number within the topic, time

histories = st.fixed_dictionaries(
    {topic: st.lists(st.integers(0, 12), max_size=30) for topic in TOPICS}
)
cuts = st.lists(st.integers(1, 7), min_size=1, max_size=8)


def items_of(history: dict[str, list[int]]) -> dict[str, list[Item]]:
    return {t: [(t, n, at) for n, at in enumerate(times)] for t, times in history.items()}


def naive(items: dict[str, list[Item]]) -> list[Item]:
    """Take the oldest head, one by one; ties in the order of TOPICS."""
    left = {topic: list(of_topic) for topic, of_topic in items.items()}
    out = []
    while any(left.values()):
        topic = min((t for t in TOPICS if left[t]), key=lambda t: (left[t][0][2], TOPICS.index(t)))
        out.append(left[topic].pop(0))
    return out


def feeder(
    items: dict[str, list[Item]], sizes: list[int]
) -> Callable[[str], Feed[Item] | Wait | Read]:
    """Feeds each topic in pieces of the given sizes, then says that it is read."""
    left = {topic: list(of_topic) for topic, of_topic in items.items()}
    turn = 0

    def more(topic: str) -> Feed[Item] | Wait | Read:
        nonlocal turn
        if not left[topic]:
            return READ
        size = sizes[turn % len(sizes)]
        turn += 1
        piece, left[topic] = left[topic][:size], left[topic][size:]
        return Feed([item[2] for item in piece], [1] * len(piece), piece)

    return more


@given(histories, cuts, st.integers(1, 40))
def test_merges_as_the_naive_model_however_it_is_cut(
    history: dict[str, list[int]], sizes: list[int], records_max: int
) -> None:
    items = items_of(history)
    merge: Merge[Item] = Merge(TOPICS)
    more = feeder(items, sizes)
    merged: list[Item] = []
    while batch := merge.take(more, records_max, 10**9):
        assert len(batch) <= records_max
        merged += batch
    assert merged == naive(items)


@given(histories, cuts, st.integers(1, 5))
def test_a_batch_keeps_to_its_bytes_but_always_moves(
    history: dict[str, list[int]], sizes: list[int], bytes_max: int
) -> None:
    items = items_of(history)
    left = {topic: list(of_topic) for topic, of_topic in items.items()}

    def more(topic: str) -> Feed[Item] | Wait | Read:
        piece, left[topic] = left[topic], []
        # Every third record is larger than any batch.
        weights = [100 if n % 3 == 0 else 1 for _, n, _ in piece]
        return Feed([item[2] for item in piece], weights, piece) if piece else READ

    merge: Merge[Item] = Merge(TOPICS)
    merged: list[Item] = []
    while batch := merge.take(more, 500, bytes_max):
        weight = sum(100 if n % 3 == 0 else 1 for _, n, _ in batch)
        assert weight <= bytes_max or len(batch) == 1
        merged += batch
    assert merged == naive(items)


@given(histories)
def test_nothing_is_taken_past_a_topic_that_must_be_waited_for(
    history: dict[str, list[int]],
) -> None:
    items = items_of(history)
    fed: set[str] = set()

    def more(topic: str) -> Feed[Item] | Wait | Read:
        if topic == "surveys":
            return WAIT
        if topic in fed or not items[topic]:
            return READ
        fed.add(topic)
        return Feed([i[2] for i in items[topic]], [1] * len(items[topic]), items[topic])

    assert Merge[Item](TOPICS).take(more, 500, 10**9) == []


def test_an_older_record_behind_a_newer_one_keeps_its_place() -> None:
    items = items_of({"members": [], "surveys": [3], "purchases": [5, 1]})
    merged = Merge[Item](TOPICS).take(feeder(items, [10]), 500, 10**9)
    assert [(topic, at) for topic, _, at in merged] == [
        ("surveys", 3),
        ("purchases", 5),
        ("purchases", 1),
    ]


def test_equal_instants_go_in_the_order_of_the_topics() -> None:
    items = items_of({"members": [7, 7], "surveys": [7], "purchases": [7]})
    merged = Merge[Item](TOPICS).take(feeder(items, [1]), 500, 10**9)
    assert [topic for topic, _, _ in merged] == ["members", "members", "surveys", "purchases"]


def test_what_has_no_instant_goes_at_once() -> None:
    items = items_of({"members": [1], "surveys": [], "purchases": [UNTIMED]})
    merged = Merge[Item](TOPICS).take(feeder(items, [1]), 500, 10**9)
    assert [topic for topic, _, _ in merged] == ["purchases", "members"]


def test_a_topic_that_runs_dry_in_mid_batch_ends_the_batch() -> None:
    answers: dict[str, list[Feed[str] | Wait | Read]] = {
        "members": [READ],
        "surveys": [Feed([1], [1], ["s1"]), WAIT],
        "purchases": [Feed([0, 2], [1, 1], ["p0", "p2"])],
    }
    merge: Merge[str] = Merge(TOPICS)
    assert merge.take(lambda topic: answers[topic].pop(0), 500, 10**9) == ["p0", "s1"]
    assert merge.head("purchases") == 2
