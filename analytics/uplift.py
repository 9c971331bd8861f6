"""What a campaign changed: members whom it was meant for against a hold-out group whom it was not.

All of the group it was meant for count, whether they took part or not: to compare only those who
got an award would compare buyers with everybody. Of each member counts what was paid, net of what
came back, in the time of the campaign; who bought nothing counts with 0. The interval is Welch's,
for groups of unequal size and spread. Estimates; what was granted and what it cost are exact.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

import numpy as np
from psycopg import Connection
from scipy import stats

from analytics.bg_nbd import Floats
from analytics.errors import AnalysisRefused

GROUP_MIN = 2
"""Members of a group: one has no spread."""

_SPENT = """
SELECT a.member_id, coalesce(sum(s.amount), 0)::bigint
FROM read.accounts a
LEFT JOIN read.sales s
       ON s.member_id = a.member_id AND s.occurred_at >= %(since)s AND s.occurred_at < %(until)s
WHERE a.opened_at < %(since)s AND a.status <> 'merged'
GROUP BY a.member_id ORDER BY a.member_id
"""

_GIVEN = """
SELECT f.member_id,
       sum(CASE f.flow WHEN 'granted' THEN f.points ELSE -f.points END)::bigint,
       sum(CASE f.flow WHEN 'granted' THEN f.points ELSE -f.points END * (
           SELECT v.point_value FROM read.point_values v WHERE v.effective_from <= f.effective_at
           ORDER BY v.effective_from DESC, v.position DESC LIMIT 1))::bigint
FROM read.point_flows f
WHERE f.flow IN ('granted', 'revoked') AND f.detail = %(rule)s
  AND f.effective_at >= %(since)s AND f.effective_at < %(until)s
GROUP BY f.member_id
"""

_TAGGED = "SELECT member_id FROM ledger.profiles WHERE profile -> 'tags' ? %s"


class Difference(NamedTuple):
    """Of two means, with the interval that holds the true one with `confidence`."""

    mean: float
    low: float
    high: float
    confidence: float


class Uplift(NamedTuple):
    """Members, and what they paid (minor units) in the two groups; the points of the rule that each
    group got, net; `cost`: what those of the target group are worth, minor units; `per_member`: the
    difference of the means; `income`: that times the target group times the margin; `roi`: in per
    cent, None without cost."""

    target_members: int
    holdout_members: int
    target_amount: int
    holdout_amount: int
    target_points: int
    holdout_points: int
    cost: int
    per_member: Difference
    income: Difference
    roi: Difference | None


def tagged(connection: Connection, tag: str) -> frozenset[str]:
    """Who has the tag in the profile now."""
    return frozenset(row[0] for row in connection.execute(_TAGGED, [tag]))


def welch(target: Floats, holdout: Floats, confidence: float) -> Difference:
    """Of the means of two groups. Raises AnalysisRefused (small_group)."""
    if min(len(target), len(holdout)) < GROUP_MIN:
        raise AnalysisRefused(
            f"The groups have {len(target)} and {len(holdout)} members with an account before the "
            "campaign began: name a hold-out group that is neither empty nor everybody.",
            "small_group",
        )
    difference = float(target.mean() - holdout.mean())
    parts = [float(group.var(ddof=1)) / len(group) for group in (target, holdout)]
    spread = sum(parts)
    if not spread:
        return Difference(difference, difference, difference, confidence)
    freedom = spread**2 / sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, (target, holdout), strict=True)
    )
    reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * spread**0.5
    return Difference(difference, difference - reach, difference + reach, confidence)


def uplift(
    connection: Connection,
    rule: str,
    since: datetime,
    until: datetime,
    holdout: Collection[str],
    confidence: float = 0.95,
    margin_percent: float = 100.0,
) -> Uplift:
    """The uplift of the campaign `rule` over [since, until). Members count whose account was open
    before. Raises AnalysisRefused (small_group)."""
    given = {"since": since, "until": until, "rule": rule}
    spent = connection.execute(_SPENT.encode(), given).fetchall()
    groups: tuple[list[int], list[int]] = ([], [])
    place = {member_id: member_id in holdout for member_id, _ in spent}
    for member_id, amount in spent:
        groups[place[member_id]].append(amount)
    points, cost = [0, 0], [0, 0]
    for member_id, net, worth in connection.execute(_GIVEN.encode(), given):
        group = place.get(member_id)
        if group is not None:
            points[group] += net
            cost[group] += worth
    target, held = (_floats(group) for group in groups)
    per_member = welch(target, held, confidence)
    income = _times(per_member, len(target) * margin_percent / 100)
    roi = None
    if cost[0]:
        mean, low, high = ((one - cost[0]) / cost[0] * 100 for one in income[:3])
        roi = Difference(mean, low, high, confidence)
    return Uplift(
        len(target), len(held), sum(groups[0]), sum(groups[1]), points[0], points[1], cost[0],
        per_member, income, roi,
    )  # fmt: skip


def _times(one: Difference, by: float) -> Difference:
    return Difference(one.mean * by, one.low * by, one.high * by, one.confidence)


def _floats(values: Iterable[int]) -> Floats:
    return np.array(list(values), dtype=np.float64)
