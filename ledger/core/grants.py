"""Grants: the lots that awards open, and the postings by which these get their points.

The same for deciding, which writes the postings, and for folding, which checks them.
"""

from collections.abc import Iterable

from ledger.core.errors import InvariantBroken
from ledger.core.lots import Holdings
from schemas.decisions import Award, Posting

WELCOME = "welcome"
"""The kind of an award for entering a level; its rule is the level."""

WELCOME_MARK = "/"
"""With what the source of a welcome's lot begins; no id has it."""

NewLot = tuple[int, int, Award]
"""A lot to be opened: its number, its points, and an award that tells its moments."""


def new_lots(awards: Iterable[Award], first: int) -> list[NewLot]:
    """The lots that the awards open, numbered from `first` on; awards of one lot are added up.
    Raises InvariantBroken (3)."""
    found: list[NewLot] = []
    following = first
    for award in awards:
        points, number = award.points, award.lot
        if not points:
            continue
        if number == following:
            found.append((number, points, award))
            following += 1
        elif first <= number < following:
            place = number - first
            found[place] = (number, found[place][1] + points, award)
        else:
            raise InvariantBroken(3, f"lot {number} opened where {following} is next")
    return found


def source_of(award: Award, source: str) -> str:
    """Where a lot comes from: a level's welcome from `/LEVEL`, all else from `source`."""
    return f"{WELCOME_MARK}{award.rule}" if award.kind == WELCOME else source


def granted_to(award: Award) -> str:
    """Where an award's points go: available where they activate at once."""
    return "available" if award.activates_at <= award.granted_at else "pending"


def grant_postings(number: int, points: int, award: Award) -> tuple[Posting, Posting]:
    """The double entry by which a new lot gets its points."""
    at = award.granted_at
    return Posting("issued", -points, number, at), Posting(granted_to(award), points, number, at)


def adjusted_postings(award: Award) -> tuple[Posting, Posting]:
    """The double entry by which a lot given by hand gets its points."""
    at, number, points = award.granted_at, award.lot, award.points
    return Posting("adjusted", -points, number, at), Posting("available", points, number, at)


def open_adjusted(held: Holdings, award: Award) -> None:
    """Open the lot of points given by hand; they are not among those granted. Raises
    InvariantBroken (3)."""
    held.open(award.lot, award.points, award, "", "available")
    held.granted -= award.points
