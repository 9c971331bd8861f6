"""Awards that stand against each other: groups of which the largest counts, and exclusive rules.

What loses stays told: it awards 0, names what beat it, uses up no limit and multiplies to 0.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ledger.core.program.rule import Rule
from schemas.decisions import NO_LOT, Award, Cap


def contest(
    rules: Sequence[Rule], awards: Mapping[int, Award], first_lot: int
) -> tuple[Award, ...]:
    """The awards (by the number of their rule, in file order) after groups, then exclusive rules;
    those that keep their points are given the lots from `first_lot` on anew."""
    best: dict[str, int] = {}
    for place, award in awards.items():
        group = rules[place].group
        if group is not None and (group not in best or award.points > awards[best[group]].points):
            best[group] = place
    kept: dict[int, Award] = {}
    lots: dict[tuple[object, ...], int] = {}
    exclusive: str | None = None
    for place, award in awards.items():
        rule = rules[place]
        if not award.points:
            kept[place] = award
        elif rule.group is not None and best[rule.group] != place:
            kept[place] = void(award, f"best_of_group:{rule.group}")
        elif award.kind == "multiplier" and not kept[rule.numbers.of].points:
            kept[place] = void(award, f"multiplier_of:{rules[rule.numbers.of].id}")
        elif exclusive is not None:
            kept[place] = void(award, f"exclusive:{exclusive}")
        else:
            same = (award.activates_at, award.expires_at, award.terms)
            lot = lots.setdefault(same, first_lot + len(lots))
            kept[place] = award if award.lot == lot else replace(award, lot=lot)
            if rule.exclusive:
                exclusive = rule.id
    return tuple(kept.values())


def void(award: Award, by: str, left: int = 0) -> Award:
    """The award without its points; `by`: what took them, `left`: what that still allowed."""
    capped = (*award.capped, Cap(by, left))
    return replace(award, points=0, lines=(), lot=NO_LOT, counters=(), capped=capped)
