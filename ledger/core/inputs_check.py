"""What an input must satisfy beyond its schema before it can be decided at all.

These are impossible inputs, not refusals: they are put aside as dead letters and use up nothing.
"""

from ledger.core.errors import Undecidable
from ledger.core.program.compiled import Compiled
from schemas.inputs import InputEvent, PurchaseCompleted, PurchaseReturned


def check(event: InputEvent, program: Compiled) -> None:
    """Raises Undecidable (other_currency, duplicate_line_id)."""
    if isinstance(event, PurchaseCompleted):
        if event.data.currency != program.form.currency:
            raise Undecidable(
                "other_currency",
                "data.currency",
                f"the purchase is in {event.data.currency}, the program in {program.form.currency}",
            )
        if len(event.data.lines) > 1:
            _distinct([line.line_id for line in event.data.lines])
    elif isinstance(event, PurchaseReturned) and event.data.lines is not None:
        _distinct([line.line_id for line in event.data.lines])


def _distinct(line_ids: list[str]) -> None:
    if len(set(line_ids)) == len(line_ids):
        return
    seen: set[str] = set()
    for place, line_id in enumerate(line_ids):
        if line_id in seen:
            raise Undecidable(
                "duplicate_line_id",
                f"data.lines[{place}].line_id",
                f"line_id {line_id!r} occurs twice; number the lines of an order apart",
            )
        seen.add(line_id)
