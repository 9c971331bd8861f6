"""What members are worth: what each has bought, and what models expect of the time ahead.

Historical value is a sum over the read model; the prediction is purchases expected (BG/NBD) times
money expected of each (gamma-gamma). A purchase is here a local day with purchases: models of
repeat buying know one per moment.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from psycopg import Connection

from analytics import bg_nbd, gamma_gamma
from analytics.bg_nbd import Floats

_VALUES = """
SELECT member_id, purchases, amount, returned, value, repeat_days, recency_days, age_days,
       repeat_amount FROM read.kpi_customer_value(%s)
"""


class Customer(NamedTuple):
    """A row of read.kpi_customer_value. Money in minor units."""

    member_id: str
    purchases: int
    amount: int
    returned: int
    value: int
    repeat_days: int
    recency_days: int
    age_days: int
    repeat_amount: int


class Prediction(NamedTuple):
    """`alive`: probability of not having left; `days`: days with a purchase within the horizon;
    `per_day`: money on each; `value`: the product, minor units. Estimates."""

    alive: float
    days: float
    per_day: float
    value: float


class Predicted(NamedTuple):
    """The models, and what they expect of each member, in the members' order."""

    buying: bg_nbd.Buying
    spending: gamma_gamma.Spending
    correlation: float
    of_members: list[Prediction]


def customers(connection: Connection, at: datetime) -> list[Customer]:
    """All who had bought before `at`, by member_id. In memory: some 200 bytes each."""
    rows: Sequence[Any] = connection.execute(_VALUES.encode(), [at]).fetchall()
    return [Customer._make(row) for row in rows]


def predict(found: Sequence[Customer], horizon_days: int) -> Predicted:
    """What they will spend in the next days. `correlation`: between how often and how much members
    bought, which the spending model takes for 0. Raises AnalysisRefused (too_few_members, no_fit).
    """
    x = _column([one.repeat_days for one in found])
    histories = bg_nbd.Histories(
        x,
        _column([one.recency_days for one in found]),
        _column([one.age_days for one in found]),
    )
    mean = _column([one.repeat_amount for one in found]) / np.maximum(x, 1)
    buying = bg_nbd.fit(histories)
    spending = gamma_gamma.fit(x, mean)
    alive = bg_nbd.alive(buying, histories)
    days = bg_nbd.expected(buying, histories, horizon_days)
    per_day = gamma_gamma.expected(spending, x, mean)
    repeated = (x > 0) & (mean > 0)
    correlation = float(np.corrcoef(x[repeated], mean[repeated])[0, 1])
    table = zip(alive.tolist(), days.tolist(), per_day.tolist(), strict=True)
    return Predicted(
        buying,
        spending,
        correlation,
        [Prediction(one, often, much, often * much) for one, often, much in table],
    )


def _column(values: list[int]) -> Floats:
    return np.array(values, dtype=np.float64)
