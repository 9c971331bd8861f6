"""The series of promo codes of a program, made ready to be asked."""

from collections.abc import Mapping

from msgspec import Struct

from ledger.core.calendar import INSTANT_MAX, INSTANT_MIN, to_instant
from ledger.core.program import form
from schemas.fields import Instant


def normal(text: str) -> str:
    """The code without what makes no difference: small letters, blanks and hyphens."""
    return text.upper().replace("-", "").replace(" ", "")


class Series(Struct, frozen=True):
    """One series. `code`: its one fixed code, or None where they are generated. `uses`: of each
    code, over all members (None: any number). [start, end): its validity."""

    id: str
    code: str | None
    uses: int | None
    per_member: int | None
    start: Instant
    end: Instant

    @property
    def budget(self) -> str:
        """The id of the budget by which the uses of a fixed code are counted; no other budget's id
        has a slash."""
        return f"promo_codes/{self.id}"


def series_of(program: form.Program) -> Mapping[str, Series]:
    """The series of a checked program, by id."""
    return {each.id: _series(each) for each in program.promo_codes}


def _series(series: form.PromoSeries) -> Series:
    valid = series.valid or form.Validity()
    return Series(
        id=series.id,
        code=series.code,
        uses=series.uses if series.code is not None else series.uses or 1,
        per_member=series.per_member,
        start=INSTANT_MIN if valid.start is None else to_instant(valid.start),
        # One past the last moment, so that a series without an end is valid at every moment.
        end=INSTANT_MAX + 1 if valid.end is None else to_instant(valid.end),
    )
