"""Which fault strikes in which round, whom, and for how long: a pure function of the seed.

Faults are dealt from a shuffled deck that holds each kind once, so that every kind comes again and
again and no run is all of one kind. Some rounds have two faults at once. Nothing here knows what
time it is; the schedule has no end, and a longer run begins like a shorter one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

Kind = Literal[
    "worker killed",
    "worker frozen",
    "worker stopped",
    "third worker",
    "kafka killed",
    "postgres killed",
    "connections cut",
    "offsets reset",
    "duplicates",
    "poison",
    "projections killed",
]

KINDS: tuple[Kind, ...] = get_args(Kind)

ALONE: frozenset[Kind] = frozenset({"offsets reset", "duplicates", "poison"})
"""Never one of two at once: the first needs a group at peace to be done at all, the others are
records and meet every fault anyway."""

TOGETHER = 0.25
"""Share of faults that are joined by another."""

PAUSE_SECONDS_MAX = 8.0
"""Until what was killed is started again: within a session's timeout, or after it."""

BEYOND_SECONDS = (1.0, 5.0)
"""How much longer than the session timeout a worker stays frozen."""

APART_SECONDS_MAX = 4.0
"""Between two faults of one round."""

SENT_BEFORE = (0.2, 0.7)
"""Share of the round's records that are sent before the fault."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault. `victim`: which of the two workers. `after`: seconds after the round's first
    fault. `pause`: seconds until what was killed starts again, or how much longer than a session
    timeout a worker is frozen, or how long a third worker stays."""

    kind: Kind
    victim: int
    after: float
    pause: float


@dataclass(frozen=True, slots=True)
class Round:
    """The faults of one round; `sent_before` is the share of records sent before the first."""

    strikes: tuple[Strike, ...]
    sent_before: float

    @property
    def name(self) -> str:
        """What is shown."""
        return " + ".join(strike.kind for strike in self.strikes)


def rounds(seed: int) -> Iterator[Round]:
    """The schedule of a seed, without end."""
    rng = Random(f"{seed}:faults")
    deck: list[Kind] = []
    while True:
        first = _draw(deck, rng, alone_too=True)
        victim = rng.randrange(2)
        strikes = [_strike(first, victim, 0.0, rng)]
        if first not in ALONE and rng.random() < TOGETHER:
            second = _draw(deck, rng, alone_too=False)
            apart = round(rng.uniform(0, APART_SECONDS_MAX), 1)
            # The other worker: what is dead cannot be frozen.
            strikes.append(_strike(second, 1 - victim, apart, rng))
        yield Round(tuple(strikes), round(rng.uniform(*SENT_BEFORE), 2))


def _draw(deck: list[Kind], rng: Random, *, alone_too: bool) -> Kind:
    """The next card; a card that must be alone stays for the next draw."""
    while True:
        for place, kind in enumerate(deck):
            if alone_too or kind not in ALONE:
                return deck.pop(place)
        fresh = list(KINDS)
        rng.shuffle(fresh)
        deck += fresh


def _strike(kind: Kind, victim: int, after: float, rng: Random) -> Strike:
    bounds = BEYOND_SECONDS if kind == "worker frozen" else (0.0, PAUSE_SECONDS_MAX)
    return Strike(kind, victim, after, round(rng.uniform(*bounds), 1))
