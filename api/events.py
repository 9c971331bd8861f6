"""From a request to an input event, read by the very code that reads Kafka's records.

The body is the event's `data`; what the request itself tells (member, ids of the path, the caller
as the actor) is put in, and naming it in the body again is refused.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import Request

from api.caller import Caller
from api.problems import Problem
from schemas.decode import decode_record
from schemas.errors import Malformed
from schemas.explain import find_nul
from schemas.fields import ID_PATTERN
from schemas.inputs import InputEvent

_ID = re.compile(ID_PATTERN)

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


async def event_of(
    request: Request,
    caller: Caller,
    type_name: str,
    key: str,
    *,
    member_id: str | None,
    occurred_at: datetime | None,
    told: Mapping[str, Any],
) -> InputEvent:
    """The event of type `type_name` that the request makes; `told`: fields of its data that are not
    the body's. Raises Problem (400, 415, 422)."""
    data = await json_object(request)
    for name, value in told.items():
        if name in data:
            raise Problem(
                422,
                "unknown_field",
                f"{name} is not part of the body: the request tells it already.",
                path=f"$.{name}",
            )
        data[name] = msgspec.Raw(_encode(value))
    when = occurred_at if occurred_at is not None else datetime.now(UTC)
    record: dict[str, Any] = {
        "specversion": "1.0",
        "type": type_name,
        "id": key,
        "source": caller.source,
        "time": when,
        "data": data,
    }
    if member_id is not None:
        record["subject"] = checked_id(member_id, "member_id")
    try:
        return decode_record(_encode(record))
    except Malformed as error:
        path = error.path.replace("$.data", "$", 1)
        raise Problem(422, str(error.code), error.message, path=path) from None


async def json_object(request: Request) -> dict[str, Any]:
    """The body as an object whose values are not looked at yet; without a body an empty one."""
    if not await request.body():
        return {}
    try:
        return _object(await json_text(request))
    except (ValueError, RecursionError) as error:
        raise Problem(400, "not_json", f"The body is no JSON object: {error}.") from None


async def json_text(request: Request) -> bytes:
    """The bytes of a JSON body. Raises Problem (415 content_type, 422 nul_character)."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise Problem(
            415, "content_type", "Send the body as JSON, with Content-Type: application/json."
        )
    text = await request.body()
    if b"\\u0000" in text:
        _refuse_nul(text)
    return text


def _refuse_nul(text: bytes) -> None:
    """Raises Problem if a text really holds U+0000, and not a backslash before `u0000`."""
    try:
        path = find_nul(msgspec.json.decode(text))
    except (ValueError, RecursionError):
        return  # whoever decodes it next says what is wrong
    if path is not None:
        raise Problem(422, "nul_character", "Text holds no NUL here: leave \\u0000 out.", path=path)


def checked_id(text: str, name: str) -> str:
    """An id of a path. Raises Problem (422)."""
    if not _ID.match(text):
        raise Problem(
            422,
            "bad_parameter",
            f"{name} has 1 to 128 of the characters A-Z a-z 0-9 . _ : - only.",
            path=name,
        )
    return text
