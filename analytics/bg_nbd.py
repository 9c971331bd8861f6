"""How often a member will buy: the BG/NBD model, fitted by maximum likelihood. Estimates only.

While alive a member buys at a rate of her own, after each purchase she leaves with a probability
of her own; over all members the rates are gamma(r, alpha), the probabilities beta(a, b). Source:
Fader, Hardie and Lee, "Counting Your Customers" the Easy Way, Marketing Science 24 (2005), 275-284;
the numbers of equations are theirs. Times are in any one unit.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from analytics.errors import AnalysisRefused

Floats = npt.NDArray[np.float64]

MEMBERS_MIN = 10
"""Fewer tell nothing about four parameters."""

STEPS_MAX = 10_000
"""Evaluations of the likelihood in one fit; the largest seen took 600. Each is linear in the number
of different histories."""

LOG_BOUND = 8.0
"""Parameters are sought between e^-8 and e^8 (times in units of the longest history, money in units
of the mean). Where members are all alike, or none has left yet, the likeliest lies at infinity: the
edge is as good."""


class Buying(NamedTuple):
    """The fitted parameters, and the log-likelihood of the data."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float


class Histories(NamedTuple):
    """One entry per member: repeat purchases, when the last one was, and how long she is observed,
    both counted from her first purchase (t_x is 0 without a repeat)."""

    x: Floats
    t_x: Floats
    t: Floats


def log_likelihood(histories: Histories, r: float, alpha: float, a: float, b: float) -> Floats:
    """Of each member (equation 6)."""
    x, t_x, t = histories
    bought = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = betaln(a, b + x) - (r + x) * np.log(alpha + t)
    # Without a repeat nobody can have left: leaving follows a repeat purchase.
    repeated = x > 0
    since = np.where(repeated, x, 1.0)
    left = np.where(repeated, betaln(a + 1, b + since - 1) - (r + x) * np.log(alpha + t_x), -np.inf)
    total: Floats = bought - betaln(a, b) + np.logaddexp(stayed, left)
    return total


def fit(histories: Histories) -> Buying:
    """The parameters under which the histories are likeliest. Raises AnalysisRefused
    (too_few_members, no_fit)."""
    x, t_x, t = histories
    if len(x) < MEMBERS_MIN or not x.any():
        raise AnalysisRefused(
            f"{len(x)} members who bought, {int((x > 0).sum())} of them again, tell too little of "
            "what others will do: choose a later moment.",
            "too_few_members",
        )
    # Members with the same history count as one, several times.
    different, times = np.unique(np.column_stack((x, t_x, t)), axis=0, return_counts=True)
    unit = float(t.max()) or 1.0  # the search wants numbers near 1
    scaled = Histories(different[:, 0], different[:, 1] / unit, different[:, 2] / unit)

    def cost(logs: Floats) -> float:
        each = log_likelihood(scaled, *np.exp(logs))
        value = -float(np.dot(times, each)) / len(x)
        return value if np.isfinite(value) else 1e9

    best = search(cost, 4)
    r, alpha, a, b = (float(one) for one in np.exp(best))
    found = float(np.dot(times, log_likelihood(scaled, r, alpha, a, b)))
    # A density of moments: in another unit it differs by the unit for each repeat purchase.
    found -= float(x.sum()) * float(np.log(unit))
    return Buying(r, alpha * unit, a, b, found)


def search(cost: Callable[[Floats], float], parameters: int) -> Floats:
    """The logarithms of the parameters where `cost` is least. Raises AnalysisRefused (no_fit)."""
    # The mean of some hundred, of which floats know twelve places after the point.
    limits = {"maxiter": STEPS_MAX, "maxfev": STEPS_MAX, "xatol": 1e-6, "fatol": 1e-10}
    bounds = [(-LOG_BOUND, LOG_BOUND)] * parameters
    begun = np.zeros(parameters)
    # Twice: the simplex may have shrunk before it was there.
    for _ in range(2):
        found = minimize(cost, begun, method="Nelder-Mead", bounds=bounds, options=limits)
        begun = found.x
    if not found.success:
        raise AnalysisRefused(
            f"No parameters were found in {STEPS_MAX:,} steps: choose another moment.", "no_fit"
        )
    best: Floats = begun
    return best


def alive(model: Buying, histories: Histories) -> Floats:
    """The probability that the member has not left."""
    x, t_x, t = histories
    r, alpha, a, b, _ = model
    odds = np.where(
        x > 0,
        a / np.where(x > 0, b + x - 1, 1.0) * ((alpha + t) / (alpha + t_x)) ** (r + x),
        0.0,
    )
    found: Floats = 1 / (1 + odds)
    return found


def expected(model: Buying, histories: Histories, ahead: float) -> Floats:
    """Purchases expected in the next `ahead` units (equation 10)."""
    x, _, t = histories
    r, alpha, a, b, _ = model
    if abs(a - 1) < 1e-6:  # the formula's limit lies there; nothing hangs on the sixth digit
        a += 1e-6
    series = hyp2f1(r + x, b + x, a + b + x - 1, ahead / (alpha + t + ahead))
    kept = 1 - ((alpha + t) / (alpha + t + ahead)) ** (r + x) * series
    found: Floats = (a + b + x - 1) / (a - 1) * kept * alive(model._replace(a=a), histories)
    return found
