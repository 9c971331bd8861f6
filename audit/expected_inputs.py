"""Which dedupe row an event of the log must have: its key, and as far as the event tells, content.

An event answers the input that it names as its cause, in the shard of the member whom that input
addressed. The input is put together again (`audit.recorded_inputs`) and hashed as the ledger hashes
it. Content that the log does not hold (a profile, a basket's limits, a reservation's length) is not
compared.
"""

from hashlib import sha256
from typing import NamedTuple

from audit.recorded_inputs import input_of
from ledger.dedupe import HASH_BYTES, WITH_PROFILE, content_of, key_of, request_key_of
from schemas import inputs
from schemas.decisions import AccountEvent, InputForwarded, InputRefused, PurchaseReturned
from schemas.inputs import InputEvent
from schemas.normal import BY_KEY, BY_SOURCE_AND_ID, joined_key, subject_of
from schemas.routing import TYPE_NAMES, type_of

_NOT_WHOLE = (
    *WITH_PROFILE,
    inputs.PointsReserve,
    inputs.ReservationConfirm,
    inputs.PointsRedeem,
    inputs.PointsAdjust,
    inputs.RewardGranted,
    inputs.RewardRevoked,
)
"""Inputs of which an event tells by what they are known, and not all that they said. One that was
refused is on its event as it came, but for what is personal."""


class Expected(NamedTuple):
    """The row that an event answers to. `key` and `content` are None where the event does not tell.

    `subject`: the member whom the input addressed; its shard holds the row.
    """

    subject: str
    key: bytes | None
    content: bytes | None


def expected_of(member_id: str, event: AccountEvent) -> Expected | None:
    """The row of the input that the event answers; None for one without an input, or whose row is
    that of the other account's event. Raises msgspec.ValidationError as `input_of`."""
    if event.cause is None:
        return None
    if isinstance(event, InputForwarded):
        return _forwarded(event.addressed or member_id, event)
    recorded = input_of(event, member_id)
    if recorded is None:
        return None
    made = recorded.event
    content = content_of(made, recorded.occurred_at) if _is_whole(made, event) else None
    return Expected(subject_of(made), key_of(made), content)


def request_of(member_id: str, event: AccountEvent) -> bytes | None:
    """The key of the request with which the input of an event came, if it came with one: the log
    does not tell whether it did. None for an event without an input. Raises as `expected_of`."""
    if event.cause is None:
        return None
    cause = event.cause
    if isinstance(event, InputForwarded):
        return request_key_of(
            event.input_type, event.addressed or member_id, cause.source, cause.id
        )
    recorded = input_of(event, member_id)
    if recorded is None:
        return None
    made = recorded.event
    return request_key_of(type_of(made), subject_of(made), cause.source, cause.id)


def waits_elsewhere(event: AccountEvent) -> bool:
    """Whether the event may end a return that waited: its row is then at the event that says so."""
    return isinstance(event, PurchaseReturned) or (
        isinstance(event, InputRefused) and event.input_type == TYPE_NAMES[inputs.PurchaseReturned]
    )


def _is_whole(made: InputEvent, event: AccountEvent) -> bool:
    """Whether `made` says all that the input said, as it said it."""
    if isinstance(event, InputRefused):
        return not isinstance(made, WITH_PROFILE)
    if isinstance(made, inputs.ReservationCancel):
        # One that came with another account is told as MEMBER/ID; the input may have left out the
        # member. No id holds a slash.
        return "/" not in made.data.reservation_id
    return not isinstance(made, _NOT_WHOLE)


def _forwarded(subject: str, event: InputForwarded) -> Expected:
    """What was passed on is told by the other account's event; known here is the key of inputs
    without a business key."""
    assert event.cause is not None
    named: tuple[str, ...]
    if event.input_type.startswith("effect."):
        named = (BY_KEY, event.cause.id)
    elif event.input_type.startswith(("command.", "member.")):
        named = (BY_SOURCE_AND_ID, event.cause.source, event.cause.id)
    else:
        return Expected(subject, None, None)
    text = joined_key(event.input_type, subject, *named)
    return Expected(subject, sha256(text).digest()[:HASH_BYTES], None)
