"""What makes two records the same input: the business key and the normalised content.

The ledger keeps a hash of both for ever, so what these functions return for an event must never
change: a new optional field of a contract is left out while it has its default, and adds nothing to
the content of events that do not use it. tests/schemas pins the bytes of one event of each type.
"""

from decimal import Decimal

import msgspec

from schemas.decode import ONE, instant_of, normal_quantity
from schemas.inputs import (
    ActivityCompleted,
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
)

_encode = msgspec.json.Encoder(decimal_format="string").encode
_NO_PROFILE = MemberData()


def normal_content(event: InputEvent) -> bytes:
    """Subject, time and data in one spelling: equal for records that say the same.

    Key order, envelope extensions, `id`, `source`, the offset of `time`, the spelling of quantities
    and writing out a default make no difference. The order of lines does.
    """
    data: object = event.data
    if isinstance(data, PurchaseData):
        data = _normal_purchase(data)
    elif isinstance(data, MemberData) and data == _NO_PROFILE:
        data = _NO_PROFILE
    subject = event.subject
    return _encode((subject, instant_of(event), data))


def business_key(event: InputEvent) -> str:
    """What an input is known by, beside its type and subject (DOMAIN invariant 5).

    The business key where the type has one; else CloudEvents source and id. Two keys of one type
    are never confused: ids hold no blank, source and id are kept apart as a JSON list.
    """
    match event:
        case PurchaseCompleted():
            return event.data.order_id
        case PurchaseReturned():
            return event.data.return_id
        case SurveyCompleted():
            return event.data.completion_id
        case ReferralRegistered():
            return f"{event.data.referrer_id} {event.subject}"
        case ActivityCompleted():
            return f"{event.data.activity} {event.data.reference}"
        case RewardGranted() | RewardRevoked():
            return event.id
        case _:
            return _encode((event.source, event.id)).decode()


def _normal_purchase(data: PurchaseData) -> PurchaseData:
    """`data` with each quantity in its one spelling; the same object when they all are.

    Decoded events are so already. Raises ValueError for a quantity out of its bounds.
    """
    for line in data.lines:
        if line.quantity is not ONE and not _is_normal(line.quantity):
            lines = tuple(map(_normal_line, data.lines))
            return msgspec.structs.replace(data, lines=lines)
    return data


def _is_normal(quantity: Decimal) -> bool:
    return normal_quantity(quantity) is quantity


def _normal_line(line: PurchaseLine) -> PurchaseLine:
    return msgspec.structs.replace(line, quantity=normal_quantity(line.quantity))
