"""Operations: shards and lag, dead letters, read models, the audit of the log."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from api.caller import Caller, require
from api.documents import body_of, json_of, operation
from api.fresh import NOT_KEPT, fresh, question
from api.kafka_ends import KafkaEnds
from api.pages import DEFAULT, Cursor, Limit, after_of, cursor_of, cut, slice_of
from api.problems import Problem
from api.reading import known, now, reading, state_of
from api.routes.jobs import accepted, job_begun
from api.scopes import Scope
from api.state import State
from ledger.core.calendar import from_instant
from ledger.dead_letters import DeadLetter, again
from ledger.errors import DeadLetterUnavailable
from projections import queries

group = APIRouter(prefix="/v1", tags=["operations"])

REASON_MAX = 500
"""Characters of a reason: a sentence or two, shown with each letter."""

Reader = Annotated[Caller, Depends(require(Scope.OPERATIONS_READ))]
Writer = Annotated[Caller, Depends(require(Scope.OPERATIONS_WRITE))]
LetterId = Annotated[int, Path(ge=1, le=2**63 - 1, description="As the listing has it.")]
Model = Annotated[
    Literal["balances", "tiers", "segments", "kpis"], Path(description="Which read model.")
]


class ShardRow(Struct, frozen=True):
    """A shard's log: its last position, when that was recorded, the latest moment decided in it;
    `behind`: events that the read model furthest behind has still to fold. -1: the system's."""

    shard: int
    position: int
    recorded_at: datetime
    decided_to: datetime
    behind: int


class StreamRow(Struct, frozen=True):
    """How far a topic's partition was taken. `event_time`: of its last record; `end_offset` and
    `lag` (records not yet taken, at most) null: Kafka does not tell."""

    topic: str
    partition: int
    next_offset: int
    event_time: datetime | None
    end_offset: int | None
    lag: int | None


class ShardsAnswer(Struct, frozen=True):
    """Shards, the system shard first."""

    items: list[ShardRow]
    next: str | None


class StreamsAnswer(Struct, frozen=True):
    """Topics' partitions. `kafka`: whether Kafka told its ends."""

    kafka: bool
    items: list[StreamRow]
    next: str | None


class LetterRow(Struct, frozen=True):
    """An input put aside. `code`, `path`, `message`: why. `discarded_by`, `discard_reason`: of one
    that was given up."""

    id: int
    source: str
    partition: int | None
    offset: int | None
    type: str
    member_id: str | None
    code: str
    path: str
    message: str
    recorded_at: datetime
    status: str
    attempts: int
    closed_at: datetime | None
    discarded_by: str | None
    discard_reason: str | None


class LettersAnswer(Struct, frozen=True):
    """Dead letters of a status, the oldest first; `total`: how many there are."""

    total: int
    items: list[LetterRow]
    next: str | None


class LetterHeader(Struct, frozen=True):
    """A header of the record; `value`: base64, null: none."""

    name: str
    value: str | None


class LetterAnswer(Struct, frozen=True):
    """A dead letter with the bytes that came, in base64; null: none. `record_timestamp`:
    milliseconds since 1970."""

    letter: LetterRow
    key: str | None
    value: str | None
    headers: list[LetterHeader]
    record_timestamp: int | None


class RetryAnswer(Struct, frozen=True):
    """How the input ended now; `code` and `message`: why it was refused, or put aside again."""

    id: int
    outcome: str
    code: str | None
    message: str | None


class DiscardBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is given up."""

    reason: Annotated[
        str, Meta(min_length=1, max_length=REASON_MAX, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")
    ]


class ModelRow(Struct, frozen=True):
    """How far a read model is, over all shards, in events. `refreshing`: shards whose rows are
    computed anew after a change of program or bounds."""

    projection: str
    folded: int
    behind: int
    refreshing: int


class SegmentCount(Struct, frozen=True):
    """Members of a segment now."""

    segment: str
    members: int


class ModelsAnswer(Struct, frozen=True):
    """The read models. `without_bounds`: segments that are empty until RFM bounds are recorded."""

    caught_up: bool
    items: list[ModelRow]
    segments: list[SegmentCount]
    without_bounds: list[str]


class RebuildBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`accept_differences`: exchange them also when the rows are others than those read."""

    accept_differences: bool = False


class VerifyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`read_models`: compare every row of the read models with the log, too."""

    read_models: bool = True


@group.get("/shards", operation_id="list_shards", **question(ShardsAnswer))
def shards(request: Request, _: Reader, limit: Limit = DEFAULT, cursor: Cursor = None) -> Response:
    """The shards of the log, and how far the read models are behind each."""
    with reading(state_of(request)) as connection:
        found = [ShardRow(*row) for row in queries.shard_heads(connection)]
    page, following = slice_of(("shards",), found, cursor, limit)
    return fresh(request, ShardsAnswer(list(page), following))


@group.get("/streams", operation_id="list_streams", **question(StreamsAnswer))
async def streams(
    request: Request, _: Reader, limit: Limit = DEFAULT, cursor: Cursor = None
) -> Response:
    """How far each topic's partition was taken, and how many records lie ahead."""
    state = state_of(request)
    stored = await state.ledger.stream_positions(state.settings.group)
    ends = await _ends(state).ends(sorted(stored)) if stored else {}
    rows = []
    for place in sorted(stored):
        position, end = stored[place], None if ends is None else ends.get(place)
        at = max(position.next_offset, position.read_to or 0)
        rows.append(
            StreamRow(
                *place,
                position.next_offset,
                None if position.event_time is None else from_instant(position.event_time),
                end,
                None if end is None else max(0, end - at),
            )
        )
    page, following = slice_of(("streams",), rows, cursor, limit)
    return fresh(request, StreamsAnswer(ends is not None, list(page), following))


def _ends(state: State) -> KafkaEnds:
    found: KafkaEnds = state.parts.setdefault(
        "kafka_ends", KafkaEnds(state.settings.kafka_bootstrap)
    )
    return found


@group.get("/dead-letters", operation_id="list_dead_letters", **question(LettersAnswer))
async def dead_letters(
    request: Request,
    _: Reader,
    status: Annotated[
        Literal["open", "retried", "discarded"], Query(description="Which of them.")
    ] = "open",
    code: Annotated[
        str | None,
        Query(pattern="^[a-z0-9_]{1,64}$", description="Only those with this reason code."),
    ] = None,
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Inputs that were put aside, the oldest first."""
    listing = ("dead-letters", status, code)
    after = after_of(listing, cursor, int) or 0
    ledger = state_of(request).ledger
    found = await ledger.dead_letters(status, code=code, after=after, limit=limit + 1)
    total = await ledger.count_dead_letters(status, code=code)
    page, more = cut(found, limit)
    following = cursor_of(listing, page[-1].id) if more else None
    answer = LettersAnswer(total, [_row(letter) for letter in page], following)
    return fresh(request, answer, keep=NOT_KEPT)


@group.get(
    "/dead-letters/{letter_id}",
    operation_id="get_dead_letter",
    **question(LetterAnswer, problems=(404,)),
)
async def dead_letter(request: Request, letter_id: LetterId, _: Reader) -> Response:
    """A dead letter with the bytes that came; they may be personal."""
    letter = await state_of(request).ledger.dead_letter(letter_id)
    headers = [
        LetterHeader(
            name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
            _base64(value),
        )
        for name, value in letter.headers
    ]
    answer = LetterAnswer(
        _row(letter), _base64(letter.key), _base64(letter.value), headers, letter.record_timestamp
    )
    return fresh(request, answer, keep=NOT_KEPT)


def _row(letter: DeadLetter) -> LetterRow:
    return LetterRow(*(getattr(letter, name) for name in LetterRow.__struct_fields__))


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


@group.post(
    "/dead-letters/{letter_id}/retry",
    operation_id="retry_dead_letter",
    **operation(answer=RetryAnswer, problems=(404, 409)),
)
async def retry(request: Request, letter_id: LetterId, _: Writer) -> Response:
    """Put a dead letter through the ledger again, exactly once."""
    ledger = state_of(request).ledger
    letter = await ledger.dead_letter(letter_id)
    try:
        (outcome,) = await ledger.handle([again(letter)], retry_of=letter_id)
    except DeadLetterUnavailable as error:
        raise _closed(error) from None
    return json_of(RetryAnswer(letter_id, outcome.kind, outcome.code, outcome.message))


@group.post(
    "/dead-letters/{letter_id}/discard",
    operation_id="discard_dead_letter",
    **operation(body=DiscardBody, answer=LetterRow, problems=(404, 409)),
)
async def discard(
    request: Request,
    letter_id: LetterId,
    caller: Writer,
    body: Annotated[DiscardBody, Depends(body_of(DiscardBody))],
) -> Response:
    """Give a dead letter up for a reason. It stays counted and listed."""
    ledger = state_of(request).ledger
    reason = " ".join(body.reason.split())
    try:
        await ledger.discard_dead_letter(letter_id, reason, caller.name)
    except DeadLetterUnavailable as error:
        raise _closed(error) from None
    return json_of(_row(await ledger.dead_letter(letter_id)))


def _closed(error: DeadLetterUnavailable) -> Problem:
    status = 404 if error.code == "no_dead_letter" else 409
    return Problem(status, error.code, error.message, path="letter_id")


@group.get("/projections", operation_id="list_projections", **question(ModelsAnswer))
def projections(request: Request, _: Reader) -> Response:
    """How far each read model is, and how many members each segment has."""
    state = state_of(request)
    with reading(state) as connection:
        found = [ModelRow(*each) for each in queries.standings(connection)]
        counts = queries.members_of_segments(connection, from_instant(now()))
        waiting = known(state).waiting_for_bounds(connection)
    caught_up = bool(found) and not any(each.behind or each.refreshing for each in found)
    answer = ModelsAnswer(caught_up, found, [SegmentCount(*each) for each in counts], list(waiting))
    return fresh(request, answer)


@group.post("/projections/{name}/rebuilds", operation_id="begin_rebuild", **accepted(RebuildBody))
async def rebuild(
    request: Request,
    name: Model,
    caller: Writer,
    body: Annotated[RebuildBody, Depends(body_of(RebuildBody))],
) -> Response:
    """Build a read model anew from the log beside the one that is read, compare, exchange, as a
    job. One that was stopped goes on where it was when it is begun again."""
    asked = {"name": name, "accept_differences": body.accept_differences}
    return job_begun(request, "rebuild", asked, caller)


@group.post("/audit/verifications", operation_id="begin_verification", **accepted(VerifyBody))
async def verify(
    request: Request,
    caller: Annotated[Caller, Depends(require(Scope.AUDIT_READ))],
    body: Annotated[VerifyBody, Depends(body_of(VerifyBody))],
) -> Response:
    """Recompute the hash chains and compare all that follows from the log, as a job."""
    return job_begun(request, "verify", {"read_models": body.read_models}, caller)
