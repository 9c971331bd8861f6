"""The generator's own account of what it sent and how each record must end.

Kept in the campaign's process from what the generator decided before sending; nothing is asked of
the ledger. A record counts once it is given out by the generator; the campaign compares only when
Kafka has acknowledged all of them.
"""

from collections import Counter
from collections.abc import Iterable
from typing import IO

from tests.faults.records import (
    ACTIVITY,
    COMMAND,
    COMMANDS,
    PURCHASE,
    REFERRAL,
    RETURN,
    SURVEY,
    Expected,
)

Count = tuple[str, str, str]
"""Topic, event type, outcome."""

DEAD = "dead_lettered"

ONCE = (PURCHASE, RETURN, SURVEY, REFERRAL, ACTIVITY, COMMAND)
"""What takes effect at most once; all commands together, for they are known by one kind of key."""


class Account:
    """Every record sent so far. `journal` gets a line for each, for a post-mortem."""

    def __init__(self, journal: IO[str] | None = None) -> None:
        self._journal = journal
        self.sent: Counter[str] = Counter()
        self.ended: Counter[Count] = Counter()
        self.dead: Counter[tuple[str, str]] = Counter()
        self.applied: dict[str, set[tuple[str | None, str]]] = {kind: set() for kind in ONCE}
        self.adjusted = 0
        self.rewards = 0
        self.revokes = 0

    def add(self, expected: Iterable[Expected]) -> None:
        """These records are about to be sent."""
        for one in expected:
            topic = one.record.topic
            self.sent[topic] += 1
            self.ended[topic, one.type, one.outcome] += 1
            if one.code is not None and one.outcome == DEAD:
                self.dead[topic, one.code] += 1
            kind = COMMAND if one.type in COMMANDS else one.type
            if one.outcome == "applied" and kind in self.applied:
                self.applied[kind].add(business_key(one))
            if self._journal is not None:
                value = one.record.value
                size = -1 if value is None else len(value)
                number = (one.record.event or {}).get("id", "")
                self._journal.write(
                    f"{topic}\t{one.record.key}\t{number}\t{one.type}\t{one.outcome}"
                    f"\t{one.code or ''}\t{size}\n"
                )

    def released(self, order_id: str, return_id: str, member: str) -> None:
        """A return that waited is decided, because its purchase was sent."""
        self.ended["purchases", RETURN, "waiting"] -= 1
        self.ended["purchases", RETURN, "applied"] += 1
        self.applied[RETURN].add((member, return_id))

    def reward(self) -> None:
        """A purchase qualified a referral: the referrer gets a reward by the topic `effects`."""
        self.rewards += 1

    def revoke(self) -> None:
        """What qualified a referral came back whole: the reward is taken back."""
        self.revokes += 1

    @property
    def total(self) -> int:
        """Records sent, of all topics."""
        return self.sent.total()

    def by_outcome(self) -> Counter[str]:
        """How many records end how."""
        found: Counter[str] = Counter()
        for (_, _, outcome), n in self.ended.items():
            found[outcome] += n
        return found

    def counts(self) -> dict[Count, int]:
        """What the ledger's counts must be, without effects; dead letters by topic alone, because
        poison does not always tell its type."""
        found: Counter[Count] = Counter()
        for (topic, kind, outcome), n in self.ended.items():
            found[topic, "" if outcome == DEAD else kind, outcome] += n
        return {key: n for key, n in found.items() if n}


def business_key(one: Expected) -> tuple[str | None, str]:
    """Member and number by which an input takes effect once."""
    assert one.record.event is not None
    data, member = one.record.event["data"], one.record.event.get("subject")
    if one.type in COMMANDS:
        return member, one.record.event["id"]
    if one.type == ACTIVITY:
        return member, f"{data['activity']} {data['reference']}"
    name = {
        PURCHASE: "order_id",
        RETURN: "return_id",
        SURVEY: "completion_id",
        REFERRAL: "referrer_id",
    }[one.type]
    return member, data[name]
