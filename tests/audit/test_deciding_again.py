"""Every decision of random histories is what its recorded input leads to; a changed one is named.

The histories are those of the state machine: whole programs with everything, and everything that
can happen to an account, in a ledger in memory with the real events.
"""

from collections.abc import Iterator
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from audit.deciding_again import Tally, decide_again
from projections.log import Entry, decode
from schemas.decisions import AccountEvent
from tests.machine.memory import MemoryLedger, columns
from tests.machine.test_machine import Histories

HISTORIES = 8
"""Each of some dozen inputs, decided by three ledgers."""

HISTORIES_LONG = 600
"""In `make test-long`: every kind of event that the machine knows is among them."""

STEPS_MAX = 40

SEED = 7


class InMemory:
    """The log of a ledger in memory, account by account."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.accounts: dict[str, list[Entry]] = {}
        for shard, log in ledger.log.items():
            for stored in log:
                row = columns(stored.row)
                member_id, version, payload = row[3].decode(), int.from_bytes(row[4]), row[9]
                entry = Entry(
                    shard, stored.position, UUID(bytes=row[2]), member_id, version, payload
                )
                self.accounts.setdefault(f"{shard}/{member_id}", []).append(entry)

    def events_of(self, member_id: str) -> Iterator[AccountEvent]:
        for name, entries in self.accounts.items():
            if name.partition("/")[2] == member_id:
                yield from map(decode, entries)


def again(ledger: MemoryLedger) -> Tally:
    log, tally = InMemory(ledger), Tally()
    for entries in log.accounts.values():
        decide_again(entries[0].member_id, entries, ledger.programs, log, tally)
    return tally


SEEN: set[str] = set()


class Redecided(Histories):
    """At the end of each history its log is decided again. (What the model says is not asked here:
    `tests/machine` does.)"""

    @invariant()
    def all_holds(self) -> None:
        """Only who has points, for the steps that need to know."""
        if hasattr(self, "world"):
            world = self.world
            for member in world.model.members:
                account = world._settled(world.on_time, member, world.now)
                world.available[member] = account.balances().available

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for ledger in self.world.ledgers:
            tally = again(ledger)
            assert not tally.differing, tally.differences
            stored = sum(map(len, ledger.log.values()))
            assert (tally.events, tally.unfolded) == (stored, 0)
            SEEN.update(tally.inputs)


def live(histories: int, seed_wanted: int) -> None:
    run_state_machine_as_test(
        seed(seed_wanted)(type("SeededRedecided", (Redecided,), {})),
        settings=settings(
            max_examples=histories,
            stateful_step_count=STEPS_MAX,
            suppress_health_check=list(HealthCheck),
            phases=[phase for phase in Phase if phase is not Phase.shrink],
            report_multiple_bugs=False,
        ),
    )


def test_every_decision_of_random_histories_is_made_again() -> None:
    SEEN.clear()
    live(HISTORIES, SEED)
    assert {"PurchaseRewarded", "PurchaseReturned", "PointsReserved", "InputRefused"} <= SEEN


@pytest.mark.long
def test_every_decision_of_many_histories_is_made_again() -> None:
    SEEN.clear()
    live(HISTORIES_LONG, SEED)
    kinds = {kind.__name__ for kind in get_args(AccountEvent)}
    answer_no_input = {"AccountSettled", "InputForwarded"}
    assert kinds - answer_no_input == SEEN
