"""What producers send: round after round of records, from the seed alone.

A pure function of the seed, the start and the rounds already made: it never looks at the ledger.
It knows how each record must end because it makes up the stories: who buys, what comes back, who
was brought in by whom. What must be decided in a certain order across topics is sent in different
rounds, since between two rounds everything is accounted for.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.faults.account import Account
from tests.faults.commands import Commands
from tests.faults.records import (
    ACTIVITY,
    ENROLLED,
    PURCHASE,
    SURVEY,
    UPDATED,
    Expected,
    Outcome,
    event,
    poison,
    purchase_data,
    record,
    rewritten,
)
from tests.faults.stories import Stories

ROUND = timedelta(minutes=30)
"""What passes in the world in one round: points activate after four rounds and expire later."""

RECORDS = 1_500
"""Records of a round, without what its faults add: a second or two for two workers."""

REGULARS = 600
"""Members who buy again and again."""

SLEEPERS = 1_200
"""Members who buy once in the first round: what falls due of theirs is left to the scheduler."""

REMEMBERED = 6_000
"""Records that may be sent again: those of the last rounds."""

BURST = 3_000
"""Duplicates of a burst."""

THINGS = 20
"""What members review and visit."""

POISON_SETS = 3
"""Of a round whose fault is poison: so many of each kind."""

PARTITIONS = 8

SEND_AGAIN = 0.1
"""Share of records that were sent before."""


class Generator:
    """Makes rounds. `start`: when the world of the campaign begins."""

    def __init__(self, seed: int, start: datetime, account: Account) -> None:
        self._seed = seed
        self._start = start
        self.account = account
        self.round = -1
        self.now = start
        self.rng = Random(f"{seed}:start")
        self.made: list[Expected] = []
        self._numbers = 0
        self._again: deque[Expected] = deque(maxlen=REMEMBERED)
        self._later: dict[int, list[Callable[[], None]]] = {}
        self._completed: dict[str, set[str]] = {}
        self._profiled = 0
        self._done: set[tuple[str, str, str]] = set()
        self._stories = Stories(self)
        self._commands = Commands(self)

    def next(self, *, duplicates: bool = False, poisoned: bool = False) -> list[Expected]:
        """The next round's records, in the order of sending, entered into the account."""
        self.round += 1
        self.rng = rng = Random(f"{self._seed}:round:{self.round}")
        self.made = []
        begin = self._start + self.round * ROUND
        due = self._later.pop(self.round, [])
        size = RECORDS + (SLEEPERS if self.round == 0 else 0)
        follow_ups = sorted(rng.randrange(size) for _ in due)
        self.now = begin
        if self.round == 0:
            self._commands.open_ring()
        else:
            self._commands.new_round()
        for n in range(size):
            self.now = begin + ROUND * n / size
            while follow_ups and follow_ups[0] <= n:
                follow_ups.pop(0)
                due.pop(0)()
            if self.round == 0 and n < SLEEPERS:
                self.buy(f"sleeper-{n}", channel="app")
            else:
                self._one()
        self.now = begin + ROUND
        if poisoned:
            for _ in range(POISON_SETS):
                self._poison(large=True)
        if duplicates:
            self.made += [self._dup(one) for one in list(self._again)[-BURST:]]
        self.account.add(self.made)
        return self.made

    def send(
        self,
        kind: str,
        member: str | None,
        data: dict[str, Any],
        outcome: Outcome = "applied",
        *,
        key: str | None = None,
        code: str | None = None,
    ) -> Expected:
        """Give out one event of now."""
        document = event(kind, member, self.number("e"), self.now, data)
        return self.send_document(document, outcome, key=key, code=code)

    def send_document(
        self,
        document: dict[str, Any],
        outcome: Outcome,
        *,
        key: str | None = None,
        code: str | None = None,
    ) -> Expected:
        """Give out an event that is made already."""
        made = record(document, key=key or document.get("subject"))
        one = Expected(made, document["type"], outcome, code)
        self.made.append(one)
        if outcome != "dead_lettered":
            self._again.append(one)
        return one

    def number(self, prefix: str) -> str:
        """A number used nowhere else."""
        self._numbers += 1
        return f"{prefix}-{self._numbers}"

    def after(self, rounds: int, story: Callable[[], None]) -> None:
        """Let a story go on in a later round."""
        self._later.setdefault(self.round + rounds, []).append(story)

    def lines(self, least: int = 100, most: int = 4_000) -> list[dict[str, Any]]:
        """What is in a basket: one to three lines of these amounts."""
        rng = self.rng
        return [
            {
                "line_id": str(n),
                "sku": f"sku-{rng.randrange(100)}",
                "category": rng.choice(("PRODUCE", "MEAT", "BREAD")),
                "quantity": rng.randint(1, 5),
                "amount": rng.randint(least, most),
            }
            for n in range(1, rng.randint(1, 3) + 1)
        ]

    def buy(
        self, member: str, *, channel: str = "store", least: int = 100, most: int = 4_000
    ) -> dict[str, Any]:
        """A purchase; what it says."""
        data = purchase_data(self.number("o"), self.lines(least, most), channel)
        self.send(PURCHASE, member, data)
        return data

    def regular(self) -> str:
        """One of those who come often."""
        return f"regular-{self.rng.randrange(REGULARS)}"

    def _one(self) -> None:
        rng, at = self.rng, self.rng.random()
        if self._again and rng.random() < SEND_AGAIN:
            self.made.append(self._dup(rng.choice(self._again)))
        elif at < 0.64:
            bought = self.buy(self.regular())
            if rng.random() < 0.2:
                self._stories.comes_back(str(self.made[-1].record.key), bought)
        elif at < 0.66:
            order = self.number("o")
            data = purchase_data(order, self.lines(), "store")
            self.send(PURCHASE, None, data, key=order)
        elif at < 0.72:
            self._survey()
        elif at < 0.76:
            self._profile()
        elif at < 0.82:
            self._activity()
        elif at < 0.87 and self.round:  # in the first round there is no ring yet
            self._commands.around()
        elif at < 0.92 and self.round:
            self._commands.begin()
        elif at < 0.998:
            self._stories.begin()
        else:
            self._poison()

    def _dup(self, one: Expected) -> Expected:
        """The same again: a duplicate, however the first one ended."""
        again = one.record
        if self.rng.random() < 0.5:
            again = rewritten(again, self.rng)
        return Expected(again, one.type, "duplicate")

    def _survey(self) -> None:
        """A completed survey; some surveys twice, some unknown, some records without a key."""
        member, survey = self.regular(), self.rng.choice(("welcome", "spring", "spring", "lost"))
        done = self._completed.setdefault(member, set())
        outcome: Outcome = "refused" if survey in done or survey == "lost" else "applied"
        done.add(survey)
        data = {"survey_id": survey, "completion_id": self.number("c")}
        self.send(SURVEY, member, data, outcome)

    def _activity(self) -> None:
        """A review, a visit, or what nobody rewards: of each thing once. The same thing at another
        time has another content."""
        member, what = self.regular(), self.rng.choice(("review", "review", "visit", "nap"))
        data = {"activity": what, "reference": f"thing-{self.rng.randrange(THINGS)}"}
        known = (member, what, data["reference"])
        if known in self._done:
            self.send(ACTIVITY, member, data, "dead_lettered", code="conflict")
        else:
            self.send(ACTIVITY, member, data, "refused" if what == "nap" else "applied")
        self._done.add(known)

    def stray(self) -> None:
        """A survey of a new member, put where its key does not belong: decided by its subject."""
        data = {"survey_id": "welcome", "completion_id": self.number("c")}
        one = self.send(SURVEY, self.number("stray"), data)
        elsewhere = one.record._replace(key=None, partition=self.rng.randrange(PARTITIONS))
        self.made[-1] = one._replace(record=elsewhere)
        self._again.pop()

    def _profile(self) -> None:
        kind = self.rng.choice((ENROLLED, UPDATED))
        profile = {"region": self.rng.choice(("north", "south")), "tags": ["a"]}
        self.send(kind, self.regular(), {"profile": profile})

    def _poison(self, large: bool = False) -> None:
        self.made += poison(self.regular(), self.number("p"), self.now, self.rng, large)
