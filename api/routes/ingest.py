"""Batch ingest of CloudEvents."""

from typing import Annotated

import msgspec
from aiokafka.errors import KafkaError
from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from starlette.responses import Response

from api.caller import Caller, require
from api.correlation import correlation_of
from api.documents import TYPES, json_of, operation
from api.ingest import Ingest, Ingested
from api.problems import Problem
from api.scopes import Scope
from api.state import State

group = APIRouter(prefix="/v1", tags=["ingest"])

EVENTS_MAX = 1_000
"""Events of one batch; the body's limit of 1 MiB mostly comes first."""

BATCH = "application/cloudevents-batch+json"

MAY = ("purchase.", "referral.", "survey.", "activity.", "member.enrolled.", "member.updated.")
"""What goes through here. Commands and erasures have operations, scopes and approvals of their own.
"""

_events = msgspec.json.Decoder(list[msgspec.Raw]).decode


class IngestAnswer(Struct, frozen=True):
    """`accepted` are durably in Kafka. `items`: those that are not, and why."""

    accepted: int
    refused: int
    unknown: int
    items: list[Ingested]


@group.post(
    "/events",
    name="ingest",
    operation_id="ingest",
    summary="CloudEvents into Kafka, up to 1,000 at once; each is accepted or refused by itself.",
    **operation(answer=IngestAnswer, problems=(400, 408, 413, 415)),
)
async def ingest(
    request: Request, _: Annotated[Caller, Depends(require(Scope.INGEST))]
) -> Response:
    """Produce them and wait for Kafka."""
    state: State = request.app.state.points
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (BATCH, "application/json"):
        raise Problem(415, "content_type", f"Send a JSON list of CloudEvents as {BATCH}.")
    try:
        events = _events(await request.body())
    except (ValueError, RecursionError) as error:
        raise Problem(400, "not_json", f"The body is no JSON list: {error}.") from None
    if not 0 < len(events) <= EVENTS_MAX:
        raise Problem(422, "events_number", f"Send 1 to {EVENTS_MAX} events at once.", path="$")
    producer: Ingest = state.ingest
    if not producer.configured:
        raise Problem(503, "no_kafka", "No Kafka is set: set POINTS_KAFKA_BOOTSTRAP.")
    try:
        results = await producer.take(
            [bytes(event) for event in events], MAY, correlation_of(request.scope)
        )
    except KafkaError as error:
        raise Problem(
            503,
            "kafka_unavailable",
            f"Kafka does not answer ({type(error).__name__}): send it again, repeats do no harm.",
            headers={"Retry-After": "5"},
        ) from None
    counts = dict.fromkeys(("accepted", "refused", "unknown"), 0)
    for each in results:
        counts[each.status] += 1
    return json_of(IngestAnswer(**counts, items=[r for r in results if r.status != "accepted"]))


TYPES.add(IngestAnswer)
group.routes[-1].openapi_extra = {  # type: ignore[attr-defined]
    "requestBody": {
        "required": True,
        "content": {
            BATCH: {
                "schema": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": EVENTS_MAX,
                    "items": {},
                }
            }
        },
    }
}
