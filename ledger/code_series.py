"""The series of promo codes with how much of them is used, and what one code is."""

from typing import Any

import msgspec
from msgspec import Struct

from ledger.application import Ledger
from ledger.core.calendar import INSTANT_MAX, INSTANT_MIN, format_instant
from ledger.core.program.promo_codes import Series, normal
from ledger.errors import LedgerError
from ledger.promo_codes import SeriesCount


class SeriesTold(Struct, frozen=True):
    """A series of all versions; of one that several have, the last. `kind`: fixed (one `code`) or
    generated (`codes` many). `uses` and `uses_left`: of all codes together; null: any number."""

    series: str
    kind: str
    code: str | None
    codes: int
    uses: int | None
    uses_left: int | None
    per_member: int | None
    valid_from: str | None
    valid_to: str | None


class CodeTold(Struct, frozen=True):
    """A generated code. `member_id`: the only one who may use it, null: everybody."""

    series: str
    kind: str
    member_id: str | None
    uses: int | None
    uses_left: int | None
    per_member: int | None
    valid_from: str | None
    valid_to: str | None


async def every_series(ledger: Ledger) -> list[SeriesTold]:
    """All series, by id. Raises DatabaseUnavailable."""
    counts = await ledger.promo_code_counts()
    return [await _told(ledger, each, counts.get(each.id)) for each in _series(ledger)]


async def looked_up(ledger: Ledger, code: str) -> SeriesTold | CodeTold:
    """What a code is, as it is printed or typed. Raises LedgerError (unknown_code)."""
    for each in _series(ledger):
        if each.code is not None and normal(each.code) == normal(code):
            return await _told(ledger, each, None)
    row = await ledger.promo_code(code)
    if row is None:
        raise LedgerError(
            "No series has this code: look for a typing error, or for the series in"
            " `points codes list`.",
            "unknown_code",
        )
    of = ledger.series(row.series)
    return CodeTold(of.id, "generated", row.member_id, of.uses, row.uses_left, *_rules(of))


def plain(told: SeriesTold | CodeTold) -> dict[str, Any]:
    """As values for JSON."""
    found: dict[str, Any] = msgspec.to_builtins(told)
    return found


def _series(ledger: Ledger) -> list[Series]:
    found: dict[str, Series] = {}
    for _, program in ledger.programs.versions:
        found |= program.series
    return [found[name] for name in sorted(found)]


async def _told(ledger: Ledger, series: Series, counts: SeriesCount | None) -> SeriesTold:
    if series.code is not None:
        left = None
        if series.uses is not None:
            left = max(0, series.uses - await ledger.budget_spent(series.budget))
        return SeriesTold(series.id, "fixed", series.code, 1, series.uses, left, *_rules(series))
    made = SeriesCount(0, 0, 0) if counts is None else counts
    return SeriesTold(
        series.id, "generated", None, made.codes, made.uses, made.uses_left, *_rules(series)
    )


def _rules(series: Series) -> tuple[int | None, str | None, str | None]:
    return (
        series.per_member,
        None if series.start == INSTANT_MIN else format_instant(series.start),
        None if series.end > INSTANT_MAX else format_instant(series.end),
    )
