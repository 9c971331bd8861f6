"""One change: the key by which it is known for ever, the ledger's answer, and its HTTP status."""

from typing import Annotated, Any

import msgspec
from fastapi import Header, Request
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from starlette.responses import Response

from api.documents import json_of
from api.door import Answer
from api.problems import EventPlace, Problem
from api.state import State
from ledger.core.program.timeline import NoProgram
from ledger.received import INTERNAL_ERROR, Outcome
from schemas.decisions import AccountEvent, InputRefused, ReturnWaiting, RewardClaimed
from schemas.inputs import InputEvent

KEY_CHARACTERS_MAX = 128
"""Of an Idempotency-Key: the ledger's bound for the id of an event."""

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=KEY_CHARACTERS_MAX,
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="Chosen by the caller, another for each change, the same when it is sent again:"
        " kept for ever with the ledger's log.",
    ),
]


_STATUSES = {"conflict": 409, INTERNAL_ERROR: 500, NoProgram.code: 404}
"""Of what cannot be decided; 422 for everything else."""


class BalanceAfter(Struct, frozen=True):
    """Points after a change; `available` is net of debts."""

    available: int
    pending: int
    reserved: int


class ChangeAnswer(Struct, frozen=True, omit_defaults=True):
    """What a change did. `outcome`: applied, or waiting (a return before its purchase). `repeated`:
    the same change was made before, and nothing was changed now. `event`: where the log has it, by
    the member who was named. `decision`: the event that answers it, of `member_id`: another
    member's where the account was merged. `balance`: of that member after this change; left out
    when repeated. `voucher_code`: what a claimed voucher hands out, also when repeated."""

    outcome: str
    member_id: str
    event: EventPlace
    decision: dict[str, Any]
    repeated: bool = False
    balance: BalanceAfter | UnsetType = UNSET
    voucher_code: str | UnsetType = UNSET


async def changed(request: Request, event: InputEvent, *, timed: bool) -> Response:
    """Make the change and answer. Raises Problem with the ledger's code when it is refused (422),
    in conflict with another under the same key (409) or impossible (422)."""
    state: State = request.app.state.points
    answer = await state.door.change(event, timed=timed)
    body = answer_of(answer, str(event.subject or ""))
    if _hands_out_code(answer):
        code = await state.ledger.voucher_code(body.event.shard, body.event.position)
        body = replace(body, voucher_code=UNSET if code is None else code)
    return json_of(body)


def _hands_out_code(answer: Answer) -> bool:
    decision = answer.outcome.decision if answer.before is None else answer.before.decision
    return isinstance(decision, RewardClaimed) and decision.kind == "voucher"


def check_decided(outcome: Outcome) -> None:
    """Raises Problem for what the ledger could not decide."""
    if outcome.kind == "dead_lettered":
        assert outcome.code is not None
        assert outcome.message is not None
        raise Problem(
            _STATUSES.get(outcome.code, 422), outcome.code, outcome.message, path=outcome.path
        )


def answer_of(answer: Answer, member_id: str) -> ChangeAnswer:
    """The body of a change's answer. Raises Problem."""
    outcome, before = answer.outcome, answer.before
    check_decided(outcome)
    decision: AccountEvent | None = outcome.decision
    decided_by = outcome.member_id or member_id
    passed_on = bool(member_id) and decided_by != member_id
    if before is not None:
        decision, decided_by, passed_on = before.decision, before.member_id, before.passed_on
    assert decision is not None, "whatever is taken has an event that answers it"
    assert outcome.shard is not None
    assert outcome.position is not None
    kind = "InputForwarded" if passed_on else type(decision).__name__
    place = EventPlace(outcome.shard, outcome.position, kind)
    if isinstance(decision, InputRefused):
        raise Problem(422, decision.code, decision.message, event=place)
    balance = UNSET if outcome.balance is None else BalanceAfter(*outcome.balance)
    return ChangeAnswer(
        "waiting" if isinstance(decision, ReturnWaiting) else "applied",
        decided_by,
        place,
        msgspec.to_builtins(decision),
        before is not None,
        UNSET if before is not None else balance,
    )
