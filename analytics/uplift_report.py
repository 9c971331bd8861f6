"""A campaign's uplift as values for JSON."""

from collections.abc import Callable
from typing import Any

from psycopg import Connection

from analytics import kpis, uplift
from analytics.holdout import in_holdout, members
from ledger.core.calendar import format_instant, from_instant, parse_instant, to_instant

STEPS = 2
"""Choosing the group, comparing."""


def report(
    connection: Connection, asked: dict[str, Any], tell: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """`asked`: rule, since (None: the first of all), until, one of percent, tag and members, margin
    (per cent), confidence. Raises AnalysisRefused (small_group), LedgerError (no_period)."""
    tell("choosing the group", 0, STEPS)
    since = None if asked["since"] is None else from_instant(parse_instant(asked["since"]))
    begin, end = kpis.period(connection, since, from_instant(parse_instant(asked["until"])))
    rule = asked["rule"]
    if asked["members"] is not None:
        held = frozenset(asked["members"])
    elif asked["tag"] is not None:
        held = uplift.tagged(connection, asked["tag"])
    else:
        percent = asked["percent"]
        held = frozenset(m for m in members(connection) if in_holdout(rule, m, percent))
    tell("comparing", 1, STEPS)
    found = uplift.uplift(connection, rule, begin, end, held, asked["confidence"], asked["margin"])
    told: dict[str, Any] = {
        "rule": rule,
        "since": format_instant(to_instant(begin)),
        "until": format_instant(to_instant(end)),
    }
    for name, one in found._asdict().items():
        told[name] = one._asdict() if isinstance(one, uplift.Difference) else one
    return told
