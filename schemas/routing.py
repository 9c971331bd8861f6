"""Where an event goes: its type, its topic, and the key that decides its partition."""

from typing import get_args

from schemas.inputs import TOPIC_OF_TYPE, InputEvent, PurchaseCompleted

TYPE_NAMES: dict[type, str] = {
    kind: str(kind.__struct_config__.tag) for kind in get_args(InputEvent)
}
"""The CloudEvents `type` of each class of input."""


def type_of(event: InputEvent) -> str:
    """The CloudEvents `type`."""
    return TYPE_NAMES[type(event)]


def topic_of(event: InputEvent) -> str:
    """The topic that carries such events."""
    return TOPIC_OF_TYPE[type_of(event)]


def key_of(event: InputEvent) -> str:
    """The record's key: the member_id, or the order_id of an anonymous purchase."""
    if event.subject is not None:
        return event.subject
    assert isinstance(event, PurchaseCompleted), "only purchases can be anonymous"
    return event.data.order_id
