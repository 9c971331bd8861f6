"""What a basket would earn, what points may pay of it, and why rules give nothing."""

import secrets
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from msgspec import Struct
from starlette.responses import Response

from api.caller import Caller, require
from api.changing import BalanceAfter, check_decided
from api.documents import json_of, operation, without
from api.events import event_of
from api.reading import MemberId
from api.scopes import Scope
from api.state import State
from audit import words_rules
from audit.explanation import Plain
from audit.texts import Texts
from audit.unfired import outcomes
from ledger.core.account import Account
from ledger.core.calendar import from_instant, to_instant
from ledger.core.payable import payable
from ledger.core.program.compiled import Compiled
from ledger.core.program.conditions import texts as texts_of
from ledger.received import asked, tick
from schemas.decisions import InputRefused, PurchaseRewarded
from schemas.inputs import BasketLine, PurchaseCompleted, PurchaseData

group = APIRouter(prefix="/v1", tags=["preview"])

_TOLD = ("order_id", "redemption_id")

BasketBody = without(PurchaseData, _TOLD, "BasketBody")
BasketBody.__doc__ = "A basket before it is paid: a purchase without its order_id."


class PreviewAward(Struct, frozen=True):
    """What a rule would give. `expires_at` null: never."""

    rule: str
    kind: str
    points: int
    activates_at: datetime
    expires_at: datetime | None


class RuleWithout(Struct, frozen=True):
    """A rule that would give nothing: a stable code, a sentence, what it asked, what there was."""

    rule: str
    code: str
    why: str
    asked: dict[str, Plain]
    actual: dict[str, Plain]


class CodeChecked(Struct, frozen=True):
    """A promo code that was named. `status`: ok, or why it is worth nothing."""

    code: str
    status: str
    series: str


class PayableAnswer(Struct, frozen=True):
    """The most points that may pay for the basket, their worth in minor units, and the code of
    what keeps it from being more. `excluded_categories`: for whose lines points do not pay."""

    points: int
    amount: int
    limited_by: str
    excluded_categories: list[str]


class PreviewAnswer(Struct, frozen=True):
    """What would happen if the basket were paid now, with money only. `refused`: the code with
    which the purchase would be refused, else null."""

    points: int
    awards: list[PreviewAward]
    rules_without: list[RuleWithout]
    promo_codes: list[CodeChecked]
    tier: str
    tier_after: str
    payable: PayableAnswer
    balance: BalanceAfter
    program_version: str
    refused: str | None


@group.post(
    "/members/{member_id}/preview",
    name="preview",
    operation_id="preview",
    summary="What a basket would earn and what points may pay of it; nothing is stored.",
    **operation(body=BasketBody, answer=PreviewAnswer),
)
async def preview(
    request: Request,
    member_id: MemberId,
    caller: Annotated[Caller, Depends(require(Scope.PREVIEW))],
    lang: Annotated[Literal["en", "ru"], Query(description="Of the sentences.")] = "en",
) -> Response:
    """Decide the purchase as it would be decided now."""
    state: State = request.app.state.points
    now = datetime.now(UTC)
    event = await event_of(
        request,
        caller,
        "purchase.completed.v1",
        "preview",
        member_id=member_id,
        occurred_at=now,
        told={"order_id": f"preview:{secrets.token_hex(8)}"},
    )
    assert isinstance(event, PurchaseCompleted)
    at = to_instant(now)
    previewed, settled = await state.asking.preview(asked(event), tick(member_id, at))
    check_decided(previewed.outcome)
    if previewed.outcome.member_id != member_id:  # it was merged: another account decides
        (settled,) = await state.asking.preview(tick(previewed.outcome.member_id, at))
    account = settled.account
    assert account is not None, "a tick names a member"
    program = state.ledger.programs.at(at)
    texts = Texts(lang, state.ledger.identity.time_zone, state.ledger.identity.currency)
    return json_of(_answer(event, previewed.outcome.decision, account, program, at, texts))


def _answer(
    event: PurchaseCompleted,
    decision: object,
    before: Account,
    program: Compiled,
    at: int,
    texts: Texts,
) -> PreviewAnswer:
    lines = [BasketLine(line.amount, line.category) for line in event.data.lines]
    most = payable(before, program, at, lines)
    held = before.holdings
    rewarded = decision if isinstance(decision, PurchaseRewarded) else None
    return PreviewAnswer(
        sum(award.points for award in rewarded.awards) if rewarded else 0,
        _awards(rewarded) if rewarded else [],
        _without(program, rewarded, before, texts) if rewarded else [],
        _codes(event, rewarded) if rewarded else [],
        before.tier,
        rewarded.tier_changes[-1].to if rewarded and rewarded.tier_changes else before.tier,
        PayableAnswer(
            most.points,
            most.points * program.form.point_value,
            most.limited_by,
            list(texts_of(program.form.redemption.excluded_categories) or ()),
        ),
        BalanceAfter(held.available - held.debt, held.pending, held.reserved),
        program.version,
        decision.code if isinstance(decision, InputRefused) else None,
    )


def _awards(rewarded: PurchaseRewarded) -> list[PreviewAward]:
    return [
        PreviewAward(
            award.rule,
            award.kind,
            award.points,
            from_instant(award.activates_at),
            None if award.expires_at is None else from_instant(award.expires_at),
        )
        for award in rewarded.awards
        if award.points
    ]


def _without(
    program: Compiled, rewarded: PurchaseRewarded, before: Account, texts: Texts
) -> list[RuleWithout]:
    return [
        RuleWithout(
            each.rule,
            each.reason.code,
            words_rules.reason(texts, each.reason),
            each.reason.asked,
            each.reason.actual,
        )
        for each in outcomes(program, rewarded, before)
        if each.reason is not None
    ]


def _codes(event: PurchaseCompleted, rewarded: PurchaseRewarded) -> list[CodeChecked]:
    if rewarded.facts is None:
        return []
    named = event.data.promo_codes
    return [
        CodeChecked(named[fact.place], fact.status, fact.series) for fact in rewarded.facts.codes
    ]
