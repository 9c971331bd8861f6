"""How moments are written in requests, as the OpenAPI document tells it.

RFC 3339 with an offset, and only as many years as the ledger knows. JSON Schema bounds texts by
patterns alone, so the year is bounded as it is written; who writes the first or last day in another
offset may still be told that it is out of bounds.
"""

from typing import Annotated, Any

from msgspec import Meta

_DAY = r"-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_REST = rf"{_DAY}[Tt]{_CLOCK}:[0-5][0-9](\.[0-9]{{1,9}})?([Zz]|[+-]{_CLOCK})$"

ASKED: dict[str, Any] = {"format": "date-time", "pattern": rf"^(19[7-9][0-9]|2[0-9]{{3}}){_REST}"}
"""Of a moment that a question is about: 1970 to 2999."""

HAPPENED: dict[str, Any] = {
    "format": "date-time",
    "pattern": rf"^(19[7-9][0-9]|2(0[0-9]{{2}}|1[0-9]{{2}}|200)){_REST}",
}
"""Of a moment that the ledger is told: 1970 to 2200."""

AskedMoment = Annotated[str, Meta(extra_json_schema=ASKED)]
"""A moment in a body, as it was written; `moment_of` reads it."""
