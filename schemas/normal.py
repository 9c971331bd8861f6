"""What makes two records the same input: the business key and the normalised content.

The ledger keeps a hash of both for ever, so what these functions return for an event must never
change: a new optional field of a contract is left out while it has its default, and adds nothing to
the content of events that do not use it. tests/schemas pins the bytes of one event of each type.
"""

from collections.abc import Callable
from datetime import UTC
from typing import Any

import msgspec

from schemas.decode import KNOWN_QUANTITIES, ONE, normal_quantity
from schemas.fields import Instant
from schemas.inputs import (
    ActivityCompleted,
    AdjustData,
    InputEvent,
    MemberData,
    PurchaseCompleted,
    PurchaseData,
    PurchaseLine,
    PurchaseReturned,
    ReferralRegistered,
    RewardGranted,
    RewardRevoked,
    SurveyCompleted,
    TierData,
)
from schemas.routing import type_of

ANONYMOUS_SUBJECT = "~anonymous"
"""Stands for the subject of an event without one. No MemberId may hold `~`."""

BY_KEY = "key"
BY_SOURCE_AND_ID = "id"
"""Which of the two an input is known by: the first part of a business key."""

BY_REQUEST = "request"
"""Stands in the key of a request whose input has a business key: no input is known by it."""

_BUSINESS_KEYS: dict[type, Callable[[Any], tuple[str, ...]]] = {
    PurchaseCompleted: lambda event: (BY_KEY, event.data.order_id),
    PurchaseReturned: lambda event: (BY_KEY, event.data.return_id),
    SurveyCompleted: lambda event: (BY_KEY, event.data.completion_id),
    ActivityCompleted: lambda event: (BY_KEY, event.data.activity, event.data.reference),
    # The subject, which is part of every key, is the other half of the pair.
    ReferralRegistered: lambda event: (BY_KEY, event.data.referrer_id),
    RewardGranted: lambda event: (BY_KEY, event.id),
    RewardRevoked: lambda event: (BY_KEY, event.id),
}
# Commands and members have none: a client's source and id (its idempotency key) are theirs.

_encode = msgspec.json.Encoder(decimal_format="string").encode
_NO_PROFILE = MemberData()


def subject_of(event: InputEvent) -> str:
    """The subject as the key and the content tell it."""
    return event.subject or ANONYMOUS_SUBJECT


def business_key(event: InputEvent) -> tuple[str, ...]:
    """What an input is known by, beside its type and subject (docs/domain.md, invariant 5): `key`
    and the business key where the type has one; else `id` and CloudEvents source and id."""
    business = _BUSINESS_KEYS.get(type(event))
    return business(event) if business is not None else (BY_SOURCE_AND_ID, event.source, event.id)


def normal_key(event: InputEvent) -> bytes:
    """Type, subject and business key in one encoding."""
    if type(event) is PurchaseCompleted:  # as below, for the input that comes most
        return purchase_key(subject_of(event), event.data.order_id)
    return joined_key(type_of(event), subject_of(event), *business_key(event))


def request_key(event: InputEvent) -> bytes | None:
    """What is known beside the input itself of a sender who gives it an idempotency key as its id:
    None where the input is known by its source and id anyway."""
    if type(event) not in _BUSINESS_KEYS:
        return None
    return request_key_of(type_of(event), subject_of(event), event.source, event.id)


def request_key_of(type_name: str, subject: str, source: str, name: str) -> bytes:
    """The `request_key` of an input of that type and subject that came from `source`, with the id
    `name`."""
    return joined_key(type_name, subject, BY_REQUEST, source, name)


def purchase_key(subject: str, order_id: str) -> bytes:
    """The `normal_key` of the purchase `order_id` of a member."""
    return joined_key(_PURCHASE, subject, BY_KEY, order_id)


def return_key(subject: str, return_id: str) -> bytes:
    """The `normal_key` of the return `return_id` of a member."""
    return joined_key(_RETURN, subject, BY_KEY, return_id)


def joined_key(*parts: str) -> bytes:
    """Equal for equal parts only: U+0000 separates them, and no string of an event holds it."""
    return "\x00".join(parts).encode()


def normal_content(event: InputEvent, occurred_at: Instant) -> bytes:
    """Subject, time and data in one spelling: equal for records that say the same.

    Key order, envelope extensions, `id`, `source`, the offset of `time`, the spelling of quantities
    and writing out a default make no difference. The order of lines does. `occurred_at` is
    `instant_of(event)`, which the caller has computed already.
    """
    data: object = event.data
    if type(data) is PurchaseData:
        data = _normal_purchase(data)
    elif type(data) is TierData:
        data = msgspec.structs.replace(data, until=data.until.astimezone(UTC))
    elif type(data) is MemberData and data == _NO_PROFILE:
        data = _NO_PROFILE
    elif type(data) is AdjustData and data.expires_at is not None:
        data = msgspec.structs.replace(data, expires_at=data.expires_at.astimezone(UTC))
    return _encode((subject_of(event), occurred_at, data))


def _normal_purchase(data: PurchaseData) -> PurchaseData:
    """`data` with each quantity in its one spelling; the same object when they all are.

    Decoded events are so already, and their quantities known. Raises ValueError for a quantity out
    of its bounds.
    """
    for line in data.lines:
        quantity = line.quantity
        if quantity is not ONE and KNOWN_QUANTITIES.get(quantity) is not quantity:
            return msgspec.structs.replace(data, lines=tuple(map(_normal_line, data.lines)))
    return data


def _normal_line(line: PurchaseLine) -> PurchaseLine:
    return msgspec.structs.replace(line, quantity=normal_quantity(line.quantity))


_PURCHASE = str(PurchaseCompleted.__struct_config__.tag)
_RETURN = str(PurchaseReturned.__struct_config__.tag)
