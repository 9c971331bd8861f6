"""The hash chain on hand-made rows: what is appended verifies, what is changed is found."""

from collections.abc import Callable
from uuid import UUID

import pytest

from ledger.chain import Head, genesis, verify
from ledger.errors import ChainBroken
from ledger.recorder import ShardLog, pack_event, pack_owner

LEDGER = UUID(int=7)
SHARD = 3
MOMENT = 1_500_000_000_000_000
OWNER = pack_owner(bytes(16), "m")


def rows(count: int = 5, shard: int = SHARD) -> list[bytes]:
    """A log of `count` rows as binary COPY returns it."""
    log = ShardLog(shard, 0, genesis(LEDGER, shard), MOMENT)
    for version in range(1, count + 1):
        log.add(pack_event(OWNER, version, "SurveyRewarded", MOMENT, 0, b"{}"))
    return list(log.rows)


def start() -> Head:
    return Head(0, genesis(LEDGER, SHARD))


def test_what_was_appended_verifies() -> None:
    assert verify(SHARD, start(), rows()).position == 5


def test_verifying_may_go_on_from_anywhere() -> None:
    middle = verify(SHARD, start(), rows()[:2])
    assert verify(SHARD, middle, rows()[2:]) == verify(SHARD, start(), rows())


@pytest.mark.parametrize(
    ("change", "position"),
    [
        (lambda log: log.pop(2), 3),
        (lambda log: log.insert(1, log[1]), 3),
        (lambda log: log.__setitem__(3, log[3].replace(b"{}", b"[]")), 4),
        (lambda log: log.__setitem__(4, log[4][:-1] + b"\x00"), 5),
        (lambda log: log.__setitem__(0, b"\x00\x0a" + log[0][2:]), 1),
        (lambda log: log.__setitem__(1, rows(shard=4)[1]), 2),
    ],
)
def test_the_first_difference_is_named(
    change: Callable[[list[bytes]], object], position: int
) -> None:
    log = rows()
    change(log)
    with pytest.raises(ChainBroken) as broken:
        verify(SHARD, start(), log)
    assert (broken.value.shard, broken.value.position) == (SHARD, position)


def test_each_shard_of_each_ledger_begins_elsewhere() -> None:
    assert len({genesis(UUID(int=n), shard) for n in (1, 2) for shard in (-1, 0, 1)}) == 6


def test_recorded_at_may_not_step_back() -> None:
    log = ShardLog(SHARD, 0, genesis(LEDGER, SHARD), MOMENT)
    log.add(pack_event(OWNER, 1, "T", MOMENT, 0, b"{}"))
    back = ShardLog(SHARD, 1, log.hash, MOMENT - 1)
    back.add(pack_event(OWNER, 2, "T", MOMENT, 0, b"{}"))
    with pytest.raises(ChainBroken, match="steps back"):
        verify(SHARD, start(), [b"".join(log.rows), b"".join(back.rows)])
