"""The account and the reference model, which share no code, agree after every step.

After each input of a random history both are asked for the balances, what was granted and expired,
and the tier, at the latest moment so far.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from demo.reference import ReferenceProgram
from ledger.core.tick import decide_tick
from schemas.fields import Instant
from tests.core.account_tools import at, moment
from tests.core.histories import (
    HOUR_US,
    LATE_HOURS_MAX,
    MEMBERS,
    START,
    Step,
    Town,
    long_steps,
    programs,
    steps,
)

SAMPLES = 150
"""Histories per run of the tests; each is a different program too."""


class Both(Town):
    """The same inputs for the accounts and for the reference model."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(document)
        self.reference = ReferenceProgram(document)

    def told(self, who: str, when: Instant, kind: str, data: dict[str, Any]) -> str | None:
        event = {"type": kind, "source": "test", "id": self.number(), "subject": who, "data": data}
        outcome = self.reference.apply({**event, "time": moment(when).isoformat()})
        # Two referrals by one pair are the same key with another code: the door's business too.
        return "duplicate" if outcome == "conflict" else outcome.partition("(")[0]

    def take(self, who: str, when: Instant, step: tuple[Any, ...]) -> None:
        if step[0] == "return before" and self.document["returns"]["policy"] == "only_pending":
            return  # the model decides such a return before what is due at once has activated
        super().take(who, when, step)

    def compare(self) -> None:
        """Both say the same of both members at the latest moment."""
        for name, member in self.ours.items():
            fork = member.account.fork()
            decide_tick(fork, self.latest, self.timeline)
            balances = fork.balances()
            found = {
                "available": balances.available,
                "pending": balances.pending,
                "reserved": balances.reserved,
                "expired": balances.expired,
                "granted": balances.granted,
                "debt": balances.debt,
                "tier": fork.tier,
            }
            self.reference.member(name)
            assert found == self.reference.state(name, moment(self.latest)), name


@settings(max_examples=SAMPLES)
@given(programs(), st.booleans(), steps)
def test_account_and_reference_agree(
    document: dict[str, Any], late_ones: bool, history: list[Step]
) -> None:
    if late_ones:
        # The model works out past tiers again from all that it ever saw; the account keeps what it
        # held then. So the tier of the past must not matter where something is late twice.
        rules = document["earn"]
        document["earn"] = [rule for rule in rules if "tier" not in str(rule.get("when"))]
    compare(Both(document), late_ones, history)


@settings(max_examples=SAMPLES)
@given(programs(("calendar_year",)), long_steps)
def test_they_agree_over_the_ends_of_years(document: dict[str, Any], history: list[Step]) -> None:
    compare(Both(document), False, history)


def compare(both: Both, late_ones: bool, history: list[Step]) -> None:
    """Let the history happen to both and compare them after each step."""
    now = at(START) + LATE_HOURS_MAX * HOUR_US
    for who, hours, late, step in history:
        now += hours * HOUR_US
        both.take(MEMBERS[who], now - late * late_ones * HOUR_US, step)
        both.compare()
