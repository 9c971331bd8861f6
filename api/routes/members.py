"""Questions about members: the card, balance, lots, history, explanation, tier, segments, codes.

The balance is exact: the ledger settles the account to now without storing anything. History, lots
and explanations come straight from the log; tiers, segments and the listing from the read models,
which follow the log.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from psycopg import Connection
from starlette.responses import Response

from api import member_answers as answers
from api.caller import Caller, require
from api.fresh import fresh, question
from api.limits import PAGE_MAX
from api.lots_now import Learned, LotRules
from api.pages import DEFAULT, NOTHING_BEFORE, Cursor, Limit, after_of, cursor_of, cut, slice_of
from api.problems import Problem
from api.reading import (
    AsOf,
    MemberId,
    in_thread,
    known,
    moment_of,
    now,
    reading,
    state_of,
    unknown_member,
)
from api.scopes import Scope
from api.state import State
from audit.as_of import AsOf as Folded
from audit.as_of import as_of as folded_as_of
from audit.as_of_all import programs_known
from audit.explain import explain, only
from audit.explanation_pages import page_of
from audit.member_history import is_member, newest, newest_as_of
from audit.member_log import LedgerFacts, Recorded, member_log
from audit.member_ties import codes_used, referrals
from audit.texts import Texts
from audit.words import words
from ledger.core.account import Account
from ledger.core.calendar import from_instant
from ledger.promo_codes import bound_codes
from ledger.received import tick
from projections import queries
from projections.lots import LotView
from schemas.fields import ID_PATTERN, Instant

group = APIRouter(prefix="/v1", tags=["members"])

Reader = Annotated[Caller, Depends(require(Scope.MEMBERS_READ))]
By = Annotated[
    Literal["occurred", "recorded"],
    Query(
        description="By what had happened by then, or by what was recorded by then. Only with as_of"
        " they differ."
    ),
]
Lang = Annotated[Literal["en", "ru"], Query(description="The language of the words.")]
Prefix = Annotated[
    str,
    Query(
        pattern=ID_PATTERN.replace("{1,128}", "{0,128}").replace(r"(?!\n)", ""),
        description="What the id begins with. Left out: all members.",
    ),
]


@group.get("/members", operation_id="list_members", **question(answers.MembersAnswer))
def members(
    request: Request,
    _: Reader,
    prefix: Prefix = "",
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Members by id, with what they have now by the read models."""
    listing = ("members", prefix)
    after = after_of(listing, cursor, str) or NOTHING_BEFORE
    with reading(state_of(request)) as connection:
        found = queries.members_after(connection, prefix, after, from_instant(now()), limit + 1)
    page, more = cut(found, limit)
    last = cursor_of(listing, page[-1].member_id) if more else None
    return fresh(request, answers.MembersAnswer([answers.MemberRow(*one) for one in page], last))


@group.get(
    "/members/{member_id}",
    operation_id="get_member",
    **question(answers.CardAnswer, problems=(404,)),
)
async def member(request: Request, member_id: MemberId, _: Reader) -> Response:
    """A member at a glance, now: standing, exact balance, tier and progress, segments."""
    state, at = state_of(request), now()
    account = await account_at(state, member_id, at)
    balance = answers.balance_now(account, state.ledger.programs, at)
    return fresh(request, await in_thread(_card, state, balance, at))


def _card(state: State, balance: answers.BalanceAnswer, at: Instant) -> answers.CardAnswer:
    member_id = balance.member_id
    with reading(state) as connection:
        opened_at = queries.opened_at(connection, member_id)
        found = queries.memberships(connection, member_id)
        progress = answers.progress(connection, member_id)
    return answers.CardAnswer(
        member_id, opened_at, balance, progress, queries.segments_in(found, from_instant(at))
    )


@group.get(
    "/members/{member_id}/balance",
    operation_id="get_balance",
    **question(answers.BalanceAnswer, problems=(404,)),
)
async def balance(
    request: Request,
    member_id: MemberId,
    _: Reader,
    as_of: AsOf = None,
    by: By = "occurred",
) -> Response:
    """A member's points: exact, now; or as of a moment, by one of two clocks."""
    state, at = state_of(request), moment_of(as_of)
    if at is None and by == "occurred":
        moment = now()
        account = await account_at(state, member_id, moment)
        return fresh(request, answers.balance_now(account, state.ledger.programs, moment))
    moment = now() if at is None else at
    if by == "recorded":
        found = await in_thread(_folded, state, member_id, moment, by)
        return fresh(request, answers.balance_then(found, moment, by))
    return fresh(request, await in_thread(_happened, state, member_id, moment))


async def account_at(state: State, member_id: str, at: Instant) -> Account:
    """The member's account settled to a moment. Raises Problem (404 unknown_member)."""
    (found,) = await state.asking.preview(tick(member_id, at))
    account = found.account
    if found.outcome.kind == "dead_lettered":
        raise Problem(500, "internal_error", "The account cannot be settled: see the log.")
    if account is None or not account.version:
        raise unknown_member(member_id)
    return account


def _happened(state: State, member_id: str, at: Instant) -> answers.BalanceAnswer:
    moment = from_instant(at)
    with reading(state) as connection:
        found = queries.balance_of(connection, member_id, moment)
        standing = queries.account_of(connection, member_id)
        if found is None or standing is None:
            raise unknown_member(member_id, moment.isoformat())
        programs = known(state).programs(connection)
    in_lots = found.available + found.debt + found.pending + found.reserved
    value = programs.at(at).form.point_value
    return answers.BalanceAnswer(
        **found._asdict(),
        **standing._asdict(),
        as_of=moment,
        by="occurred",
        in_lots=in_lots,
        point_value=value,
        liability=in_lots * value,
    )


def _folded(state: State, member_id: str, at: Instant, by: str) -> Folded:
    """The member as of a moment, from the log. Raises Problem (404 unknown_member)."""
    with reading(state) as connection:
        ledger = known(state).facts(connection)
        if by == "recorded":
            log = member_log(connection, ledger, member_id, at)
            programs = programs_known(connection, at)
        else:
            log = member_log(connection, ledger, member_id)
            programs = known(state).programs(connection)
    found = folded_as_of(member_id, (each.event for each in log), programs, at)
    if found is None:
        raise unknown_member(member_id, from_instant(at).isoformat())
    return found


@group.get(
    "/members/{member_id}/lots",
    operation_id="list_lots",
    **question(answers.LotsAnswer, problems=(404,)),
)
async def lots(
    request: Request,
    member_id: MemberId,
    _: Reader,
    as_of: AsOf = None,
    by: By = "occurred",
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The lots with something left, in the order in which they are drawn."""
    state, at = state_of(request), moment_of(as_of)
    found: Sequence[LotView]
    if at is None and by == "occurred":
        found = await _lots_now(state, member_id)
    else:
        moment = now() if at is None else at
        found = (await in_thread(_folded, state, member_id, moment, by)).lots
    listing = ("lots", member_id, as_of, by)
    page, following = slice_of(listing, found, cursor, limit)
    return fresh(request, answers.LotsAnswer([answers.lot_of(lot) for lot in page], following))


async def _lots_now(state: State, member_id: str) -> Sequence[LotView]:
    moment = now()
    account = await account_at(state, member_id, moment)
    rules: LotRules = state.parts.setdefault("lot_rules", LotRules())
    learned = rules.learned(member_id)
    found = rules.lots(account, learned)
    # What came since; or all of it, for a lot that was empty may have something in it again.
    for begin in (learned, Learned()):
        if found is None:
            learned = await in_thread(_learned, state, member_id, begin)
            found = rules.lots(account, learned)
    if found is None:  # the account has changed meanwhile
        return (await in_thread(_folded, state, member_id, moment, "occurred")).lots
    return found


def _learned(state: State, member_id: str, before: Learned) -> Learned:
    with reading(state) as connection:
        ledger = known(state).facts(connection)
        log = member_log(connection, ledger, member_id, after=before.version)
    return before.and_of(each.event for each in log)


@group.get(
    "/members/{member_id}/history",
    operation_id="list_history",
    **question(answers.HistoryAnswer, problems=(404,)),
)
def history(
    request: Request,
    member_id: MemberId,
    _: Reader,
    as_of: AsOf = None,
    lang: Lang = "en",
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """A member's entries, newest first, each explained in words. With `as_of`: those that had
    happened by then."""
    state, at = state_of(request), moment_of(as_of)
    listing = ("history", member_id, as_of)
    after = after_of(listing, cursor, int)
    with reading(state) as connection:
        ledger = known(state).facts(connection)
        texts = Texts(lang, ledger.time_zone, ledger.currency)
        if at is None:
            found = newest(connection, ledger, member_id, texts, after, limit + 1)
        else:
            programs = known(state).programs(connection)
            skip = after or 0
            found = newest_as_of(
                connection, ledger, member_id, texts, programs, at, skip, limit + 1
            )
    if not found and after is None:
        raise unknown_member(member_id, as_of)
    page, more = cut(found, limit)
    following = None
    if more:
        following = cursor_of(listing, page[-1].version if at is None else skip + limit)
    return fresh(request, answers.HistoryAnswer(lang, ledger.time_zone, list(page), following))


@group.get(
    "/members/{member_id}/explain",
    operation_id="explain_member",
    **question(answers.ExplainAnswer, problems=(404,)),
)
def explain_member(
    request: Request,
    member_id: MemberId,
    _: Reader,
    order: Annotated[
        str | None,
        Query(min_length=1, max_length=128, description="Only what concerns this order."),
    ] = None,
    lot: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Only this lot; not with order.")
    ] = None,
    rules: Annotated[
        bool, Query(description="Also without order or lot: in words why rules gave nothing.")
    ] = False,
    as_of: AsOf = None,
    lang: Lang = "en",
    limit: Limit = PAGE_MAX,
    cursor: Cursor = None,
) -> Response:
    """Where each point came from and where it went; of an order or a lot also why rules gave none.
    A page has so many lots, debts, refusals and judgements; `next` goes on as of the same moment.
    Without `as_of` the answer tells the moment at which it was given, and is never the same."""
    if lot is not None and order is not None:
        raise Problem(422, "lot_and_order", "Choose one of lot and order, not both.", path="lot")
    state, at = state_of(request), moment_of(as_of)
    listing = ("explain", member_id, order, lot, as_of)
    begun = now() if at is None else at
    moment, start = after_of(listing, cursor, tuple[int, int]) or (begun, 0)
    if not 0 <= moment <= begun or start < 0:
        raise Problem(422, "bad_cursor", "Take `next` as it came.", path="cursor")
    ledger, log = _log(state, member_id)
    with reading(state) as connection:
        programs = known(state).programs(connection)
    told = explain(member_id, log, programs, ledger, moment)
    if told is None:
        raise unknown_member(member_id, as_of)
    told, more = page_of(only(told, lot=lot, order_id=order), start, limit)
    lines = words(
        told,
        Texts(lang, ledger.time_zone, ledger.currency),
        rules=rules or lot is not None or order is not None,
    )
    following = cursor_of(listing, (moment, start + limit)) if more else None
    return fresh(
        request,
        answers.ExplainAnswer(lang, told, [answers.WordsLine(*line) for line in lines], following),
    )


def _log(state: State, member_id: str) -> tuple[LedgerFacts, list[Recorded]]:
    """The member's events. Raises Problem (404 unknown_member)."""
    with reading(state) as connection:
        ledger = known(state).facts(connection)
        log = member_log(connection, ledger, member_id)
    if not log:
        raise unknown_member(member_id)
    return ledger, log


@group.get(
    "/members/{member_id}/tier",
    operation_id="get_tier",
    **question(answers.TierAnswer, problems=(404,)),
)
async def tier(request: Request, member_id: MemberId, _: Reader) -> Response:
    """The tier now, the progress to the next one, and all tiers with their times."""
    state, at = state_of(request), now()
    account = await account_at(state, member_id, at)
    now_in = account.tier_at(at, state.ledger.programs)
    return fresh(request, await in_thread(_tier, state, member_id, now_in))


def _tier(state: State, member_id: str, now_in: str) -> answers.TierAnswer:
    with reading(state) as connection:
        progress = answers.progress(connection, member_id)
        return answers.TierAnswer(
            member_id, now_in, progress, answers.intervals(connection, member_id)
        )


@group.get(
    "/members/{member_id}/segments",
    operation_id="get_segments",
    **question(answers.SegmentsAnswer, problems=(404,)),
)
def segments(request: Request, member_id: MemberId, _: Reader, as_of: AsOf = None) -> Response:
    """The segments at a moment, since when and until when, with the values that they look at."""
    state, at = state_of(request), moment_of(as_of)
    with reading(state) as connection:
        _check_member(state, connection, member_id)
        found = answers.segments(connection, member_id, now() if at is None else at, at)
    return fresh(request, found)


def _check_member(state: State, connection: Connection[Any], member_id: str) -> None:
    if not is_member(connection, known(state).facts(connection), member_id):
        raise unknown_member(member_id)


@group.get(
    "/members/{member_id}/referrals",
    operation_id="list_referrals",
    **question(answers.ReferralsAnswer, problems=(404,)),
)
def member_referrals(
    request: Request,
    member_id: MemberId,
    _: Reader,
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Who brought the member in, and the rewards for whom the member brought in."""
    _ledger, log = _log(state_of(request), member_id)
    found = referrals(member_id, log)
    page, following = slice_of(("referrals", member_id), found.rewards, cursor, limit)
    return fresh(
        request,
        answers.ReferralsAnswer(member_id, found.brought_in_by, list(page), following),
    )


@group.get(
    "/members/{member_id}/promo-codes",
    operation_id="list_member_codes",
    **question(answers.PromoCodesAnswer, problems=(404,)),
)
def promo_codes(
    request: Request,
    member_id: MemberId,
    _: Reader,
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The promo codes that are bound to the member, and those that the member's purchases named."""
    state = state_of(request)
    _ledger, log = _log(state, member_id)
    with reading(state) as connection:
        bound = bound_codes(connection, member_id)
    used = codes_used(log)
    page, following = slice_of(("member-codes", member_id), used, cursor, limit)
    return fresh(
        request,
        answers.PromoCodesAnswer(
            member_id, [answers.BoundCodes(*one) for one in bound], list(page), following
        ),
    )
