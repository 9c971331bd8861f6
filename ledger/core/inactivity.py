"""Points that expire when the member has bought nothing for so long: each purchase moves them on.

All lots of one length move together, by one moment that the purchase's event records; so folding
asks no rule. Never back: a late purchase moves nothing that a later one has moved further. Points
granted since the last purchase count from their grant.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from ledger.core.calendar import add
from ledger.core.context import Context
from ledger.core.lots import Holdings, idle_moment
from ledger.core.program.duration import parse_duration
from schemas.decisions import Award, Idle


def moved_on(context: Context, awards: Iterable[Award]) -> Idle:
    """To which moments a purchase moves the points of each length that the account has, or gets
    with these awards."""
    held, zone = context.account.holdings, context.program.zone
    lengths = dict.fromkeys(length for length, _ in held.idle)
    lengths.update(
        (award.terms.idle, None)
        for award in awards
        if award.terms is not None and award.terms.idle and award.points
    )
    return tuple((length, add(context.at, parse_duration(length), zone)) for length in lengths)


def with_the_others(held: Holdings, awards: tuple[Award, ...]) -> tuple[Award, ...]:
    """The awards of a late purchase: they expire with what a later purchase has moved on."""
    return tuple(
        replace(award, expires_at=max(award.expires_at, idle_moment(held.idle, award.terms.idle)))
        if award.terms is not None and award.terms.idle and award.expires_at is not None
        else award
        for award in awards
    )
