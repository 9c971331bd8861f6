"""Drawing a sample that anyone can draw again, and how far to trust its score.

Stratified by file in proportion to the number of mutants, at least one of each file, so that the
score of the sample is that of the whole but for chance.
"""

import random
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TypeVar

T = TypeVar("T")

CONFIDENCE_95 = 1.959964
"""Standard deviations of the normal distribution on either side of 95 %."""


def shares(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """How many to draw from each stratum: by largest remainder, at least one, at most all."""
    total = sum(sizes.values())
    if wanted >= total:
        return dict(sizes)
    drawn = {name: max(1, wanted * size // total) for name, size in sizes.items() if size}
    by_rest = sorted(drawn, key=lambda name: (-(wanted * sizes[name] % total), name))
    for name in by_rest:
        if sum(drawn.values()) >= wanted:
            break
        drawn[name] = min(drawn[name] + 1, sizes[name])
    return drawn


def sample(strata: Mapping[str, Sequence[T]], wanted: int, seed: int) -> list[T]:
    """`wanted` of them, in their order; the same for the same seed. A file's draw does not depend
    on other files' mutants."""
    counts = shares({name: len(of) for name, of in strata.items()}, wanted)
    drawn: list[T] = []
    for name, count in counts.items():
        places = random.Random(f"{seed}:{name}").sample(range(len(strata[name])), count)
        drawn += [strata[name][place] for place in sorted(places)]
    return drawn


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if of == 0:
        return 0.0, 1.0
    z = CONFIDENCE_95
    share, spread = hits / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
