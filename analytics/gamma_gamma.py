"""What a member spends on a purchase: the gamma-gamma model, fitted by maximum likelihood.

Purchases of one member vary around a mean of her own, and the means vary over members; how much is
spent does not depend on how often. Source: Fader and Hardie, The Gamma-Gamma Model of Monetary
Value (2013), brucehardie.com/notes/025. Estimates only.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from analytics.bg_nbd import MEMBERS_MIN, Floats, search
from analytics.errors import AnalysisRefused


class Spending(NamedTuple):
    """The fitted parameters (gamma in the unit of money), and the log-likelihood of the data."""

    p: float
    q: float
    gamma: float
    log_likelihood: float


def log_likelihood(x: Floats, mean: Floats, p: float, q: float, gamma: float) -> Floats:
    """Of each member with `x` purchases that cost `mean` on average; both above 0."""
    total: Floats = (
        gammaln(p * x + q)
        - gammaln(p * x)
        - gammaln(q)
        + q * np.log(gamma)
        + (p * x - 1) * np.log(mean)
        + p * x * np.log(x)
        - (p * x + q) * np.log(gamma + mean * x)
    )
    return total


def fit(x: Floats, mean: Floats) -> Spending:
    """The parameters under which the means are likeliest; only members with a purchase above 0
    tell anything. Raises AnalysisRefused (too_few_members, no_fit)."""
    telling = (x > 0) & (mean > 0)
    x, mean = x[telling], mean[telling]
    if len(x) < MEMBERS_MIN:
        raise AnalysisRefused(
            f"{len(x)} members who bought again tell too little of what others will spend: choose "
            "a later moment.",
            "too_few_members",
        )
    unit = float(np.average(mean, weights=x))  # the search wants numbers near 1

    def cost(logs: Floats) -> float:
        p, q, gamma = np.exp(logs)
        value = -float(log_likelihood(x, mean / unit, p, q, gamma).mean())
        return value if np.isfinite(value) else 1e9

    p, q, gamma = (float(one) for one in np.exp(search(cost, 3)))
    gamma *= unit
    return Spending(p, q, gamma, float(log_likelihood(x, mean, p, q, gamma).sum()))


def expected(model: Spending, x: Floats, mean: Floats) -> Floats:
    """The mean that a member's purchases have: between what she spent and what all spend."""
    p, q, gamma, _ = model
    found: Floats = p * (gamma + x * mean) / (p * x + q - 1)
    return found
