"""Promo codes: what those that a purchase names are good for, and which of them it uses.

A series has one fixed code, or codes that were generated; these the model is told. A code is good
when it is known, not another member's, within its time, and neither it nor the member's part of its
series is used up.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from demo.reference.program import Purchase

if TYPE_CHECKING:
    from demo.reference.earning import Award
    from demo.reference.model import Member, ReferenceProgram


@dataclass
class Generated:
    series: str
    member_id: str | None  # to whom it is bound
    uses_left: int


class Named(NamedTuple):
    """A good code."""

    series: str
    code: str  # "" for a fixed one


class Use(NamedTuple):
    series: str
    code: str


def normal(text: str) -> str:
    """Capitals, blanks and hyphens make no difference."""
    return "".join(character for character in text.upper() if character not in " -")


def named(
    model: "ReferenceProgram", member: "Member", purchase: Purchase, addressed: str
) -> list[Named]:
    """The good codes, in the order of the purchase. `addressed`: the member whom it names."""
    program, at = model.versions.at(purchase.occurred_at), purchase.occurred_at
    good = []
    for text in purchase.promo_codes:
        code = normal(text)
        found = model.codes.get(code)
        for series in program.series.values():
            if series.code is not None:
                if normal(series.code) != code:
                    continue
                left = series.uses is None or model.room(series.budget) > 0
            else:
                if found is None or found.series != series.id:
                    continue
                mine = found.member_id in (None, member.id, addressed)
                left = mine and found.uses_left > 0
            used_up = (
                series.per_member is not None and member.codes_used[series.id] >= series.per_member
            )
            if left and not used_up and series.valid_from <= at < series.valid_to:
                good.append(Named(series.id, "" if series.code is not None else code))
    return good


def used(purchase: Purchase, good: list[Named], awards: "list[Award]") -> list[Use]:
    """One code for each award that was paid because of it."""
    uses: dict[str, Use] = {}
    for award in awards:
        rule = award.rule
        if not rule.series or rule.words & set(purchase.promo_codes) or rule.series & uses.keys():
            continue
        one = next(one for one in good if one.series in rule.series)
        uses[one.series] = Use(*one)
    return list(uses.values())


def count(model: "ReferenceProgram", member: "Member", uses: list[Use], times: int) -> None:
    """Use the codes, or (-1) give them back."""
    for use in uses:
        member.codes_used[use.series] += times
        if use.code:
            model.codes[use.code].uses_left -= times
            continue
        for program in model.versions.published:
            series = program.series.get(use.series)
            if series is not None and series.code is not None and series.uses is not None:
                model.spent[series.budget] += times
                break
