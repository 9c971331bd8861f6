"""What points buy, and promo codes: of the program in force."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from starlette.responses import Response

from api.caller import Caller, require
from api.fresh import fresh, question
from api.pages import DEFAULT, Cursor, Limit, slice_of
from api.problems import Problem
from api.reading import TypedCode, now, state_of
from api.scopes import Scope
from api.state import State
from ledger.code_series import CodeTold, SeriesTold, every_series, looked_up
from ledger.core.program import form
from ledger.core.program.compiled import Compiled
from ledger.core.program.timeline import NoProgram
from ledger.stock import Offer, offers

group = APIRouter(prefix="/v1", tags=["catalogue"])


class RewardAnswer(Struct, frozen=True):
    """A reward. `left`: units or voucher codes that are not given; null: not counted. On offer in
    [`valid_from`, `valid_to`); null: open."""

    reward_id: str
    kind: str
    points: int
    stock: int | None
    codes_loaded: int | None
    given: int | None
    left: int | None
    valid_from: datetime | None
    valid_to: datetime | None


class RewardsAnswer(Struct, frozen=True):
    """The catalogue, in the program's order."""

    items: list[RewardAnswer]
    next: str | None


class CharityAnswer(Struct, frozen=True):
    """A charity that points can be given to in [`valid_from`, `valid_to`); null: open."""

    charity_id: str
    valid_from: datetime | None
    valid_to: datetime | None


class CharitiesAnswer(Struct, frozen=True):
    """The charities, in the program's order."""

    items: list[CharityAnswer]
    next: str | None


class SeriesAnswer(Struct, frozen=True):
    """The series of promo codes of all versions, by id."""

    items: list[SeriesTold]
    next: str | None


class CodeAnswer(Struct, frozen=True):
    """A promo code. `kind`: fixed, or generated. `member_id`: the only one who may use it; null:
    everybody. `uses` and `uses_left` null: any number; `per_member` null: no limit of its own."""

    series: str
    kind: str
    member_id: str | None
    uses: int | None
    uses_left: int | None
    per_member: int | None
    valid_from: str | None
    valid_to: str | None


@group.get("/rewards", operation_id="list_rewards", **question(RewardsAnswer))
async def rewards(
    request: Request,
    _: Annotated[Caller, Depends(require(Scope.PROGRAMS_READ))],
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The rewards that points buy, with what is left of each."""
    state = state_of(request)
    program = await in_force(state)
    stock = await state.ledger.reward_stock(list(program.rewards))
    page, following = slice_of(("rewards", program.version), offers(program, stock), cursor, limit)
    found = [_reward(offer, program.rewards[offer.id]) for offer in page]
    return fresh(request, RewardsAnswer(found, following))


def _reward(offer: Offer, reward: form.CatalogueReward) -> RewardAnswer:
    valid = reward.valid or form.Validity()
    return RewardAnswer(
        offer.id,
        offer.kind,
        offer.points,
        offer.stock,
        offer.codes_loaded,
        offer.given,
        offer.left,
        valid.start,
        valid.end,
    )


@group.get("/charities", operation_id="list_charities", **question(CharitiesAnswer))
async def charities(
    request: Request,
    _: Annotated[Caller, Depends(require(Scope.PROGRAMS_READ))],
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The charities that points can be given to."""
    program = await in_force(state_of(request))
    page, following = slice_of(
        ("charities", program.version), list(program.charities.values()), cursor, limit
    )
    found = []
    for charity in page:
        valid = charity.valid or form.Validity()
        found.append(CharityAnswer(charity.id, valid.start, valid.end))
    return fresh(request, CharitiesAnswer(found, following))


async def in_force(state: State) -> Compiled:
    """The program version in force now. Raises Problem (404 no_program)."""
    programs = await state.ledger.reload_programs()
    try:
        return programs.at(now())
    except NoProgram as none:
        raise Problem(404, "no_program", f"{none}.") from None


@group.get("/promo-codes", operation_id="list_code_series", **question(SeriesAnswer))
async def series(
    request: Request,
    _: Annotated[Caller, Depends(require(Scope.PROGRAMS_READ))],
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The series of promo codes, with how much of each is used."""
    state = state_of(request)
    await state.ledger.reload_programs()
    page, following = slice_of(("series",), await every_series(state.ledger), cursor, limit)
    return fresh(request, SeriesAnswer(list(page), following))


@group.get(
    "/promo-codes/{code}",
    operation_id="check_code",
    **question(CodeAnswer, problems=(404,)),
)
async def code(
    request: Request,
    code: TypedCode,
    _: Annotated[Caller, Depends(require(Scope.PREVIEW))],
) -> Response:
    """What a promo code is: its series, whose it is, what is left of it. Whether it counts for a
    basket tells its preview."""
    state = state_of(request)
    await state.ledger.reload_programs()
    found = await looked_up(state.ledger, code)
    answer = CodeAnswer(
        found.series,
        found.kind,
        found.member_id if isinstance(found, CodeTold) else None,
        found.uses,
        found.uses_left,
        found.per_member,
        found.valid_from,
        found.valid_to,
    )
    return fresh(request, answer)
