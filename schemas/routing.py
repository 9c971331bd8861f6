"""Where an event goes: its type, its topic, and the key that decides its partition."""

from schemas.inputs import TOPIC_OF_TYPE, InputEvent, PurchaseCompleted


def type_of(event: InputEvent) -> str:
    """The CloudEvents `type`."""
    return str(event.__struct_config__.tag)


def topic_of(event: InputEvent) -> str | None:
    """The topic that carries such events; None for a command, which is on no topic."""
    return TOPIC_OF_TYPE.get(type_of(event))


def key_of(event: InputEvent) -> str:
    """The record's key: the member_id, or the order_id of an anonymous purchase."""
    if event.subject is not None:
        return event.subject
    assert isinstance(event, PurchaseCompleted), "only purchases can be anonymous"
    return event.data.order_id
