"""What members are worth, as values for JSON: the most valuable first, and the models' figures."""

from collections.abc import Callable
from typing import Any

from psycopg import Connection

from analytics import customer_value
from analytics.errors import AnalysisRefused
from ledger.core.calendar import format_instant, from_instant
from schemas.fields import Instant

STEPS = 3
"""Reading, fitting, sorting."""

NO_PREDICTION = ("too_few_members", "no_fit")
"""Why the past is told alone."""


def report(
    connection: Connection, at: Instant, days: int, top: int, tell: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """`members`: the `top` ones by what they are expected to be worth in the next `days` (without a
    prediction: by what they have been worth), ties by id. `models` null: no prediction, and
    `no_prediction` says why. Money in minor units; what is predicted is an estimate."""
    tell("reading purchases", 0, STEPS)
    found = customer_value.customers(connection, from_instant(at))
    told: dict[str, Any] = {"at": format_instant(at), "days": days, "members_in_all": len(found)}
    tell("fitting the models", 1, STEPS)
    try:
        predicted = customer_value.predict(found, days)
    except AnalysisRefused as refused:
        if refused.code not in NO_PREDICTION:
            raise
        told |= {"models": None, "no_prediction": refused.message}
        rows = [one._asdict() for one in sorted(found, key=lambda c: (-c.value, c.member_id))]
    else:
        told |= {
            "models": {
                "buying": predicted.buying._asdict(),
                "spending": predicted.spending._asdict(),
                "correlation": predicted.correlation,
            },
            "no_prediction": None,
        }
        pairs = sorted(
            zip(found, predicted.of_members, strict=True),
            key=lambda pair: (-pair[1].value, pair[0].member_id),
        )
        rows = [
            one._asdict() | {f"predicted_{name}": got for name, got in two._asdict().items()}
            for one, two in pairs[:top]
        ]
    tell("sorting", 2, STEPS)
    return told | {"members": rows[:top]}
