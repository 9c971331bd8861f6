"""What an input must satisfy beyond its schema before it can be decided at all.

These are impossible inputs, not refusals: they are put aside as dead letters and use up nothing.
"""

from collections.abc import Sequence

from ledger.core.errors import Undecidable
from ledger.core.program.compiled import Compiled
from schemas.inputs import (
    InputEvent,
    PointsAdjust,
    PurchaseCompleted,
    PurchaseLine,
    PurchaseReturned,
    ReturnedLine,
)


def check(event: InputEvent, program: Compiled) -> None:
    """Raises Undecidable (other_currency, duplicate_line_id, no_points)."""
    if isinstance(event, PurchaseCompleted):
        if event.data.currency != program.form.currency:
            raise Undecidable(
                "other_currency",
                "data.currency",
                f"the purchase is in {event.data.currency}, the program in {program.form.currency}",
            )
        _distinct(event.data.lines)
    elif isinstance(event, PurchaseReturned) and event.data.lines is not None:
        _distinct(event.data.lines)
    elif isinstance(event, PointsAdjust) and not event.data.points:
        raise Undecidable("no_points", "data.points", "an adjustment gives or takes points, not 0")


def _distinct(lines: Sequence[PurchaseLine | ReturnedLine]) -> None:
    if len({line.line_id for line in lines}) == len(lines):
        return
    seen: set[str] = set()
    for place, line in enumerate(lines):
        if line.line_id in seen:
            raise Undecidable(
                "duplicate_line_id",
                f"data.lines[{place}].line_id",
                f"line_id {line.line_id!r} occurs twice; number the lines of an order apart",
            )
        seen.add(line.line_id)
