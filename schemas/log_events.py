"""Events of the log to bytes and back: msgspec JSON, typed; old documents are lifted before typing.

Whoever reads the log decodes it here, so that an event of an older structure means the same to the
ledger, to the read models and to whoever checks them. Stored bytes are never rewritten.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from schemas.decisions import AccountEvent, LogEvent, SystemEvent

Document = dict[str, Any]

UPCASTS: dict[str, Callable[[Document], Document]] = {}
"""By event type: how to lift a document of an older structure to today's. A document is given to
its type's function whenever today's types do not accept it as it is."""

encode_event = msgspec.json.Encoder(decimal_format="string").encode
"""The payload of an event: deterministic, fields in the order of their declaration."""

_log_event = msgspec.json.Decoder(LogEvent).decode
_account_event = msgspec.json.Decoder(AccountEvent).decode
_system_event = msgspec.json.Decoder(SystemEvent).decode
_document = msgspec.json.Decoder(Document).decode


def decode_event(payload: bytes) -> LogEvent:
    """The event that `payload` holds. Raises msgspec.MsgspecError if it is none."""
    try:
        event: LogEvent = _log_event(payload)
    except msgspec.ValidationError as error:
        event = _log_event(_lifted(payload, error))
    return event


def decode_account_event(payload: bytes) -> AccountEvent:
    """As `decode_event`, of an account."""
    try:
        event: AccountEvent = _account_event(payload)
    except msgspec.ValidationError as error:
        event = _account_event(_lifted(payload, error))
    return event


def decode_system_event(payload: bytes) -> SystemEvent:
    """As `decode_event`, of the system shard."""
    try:
        event: SystemEvent = _system_event(payload)
    except msgspec.ValidationError as error:
        event = _system_event(_lifted(payload, error))
    return event


def _lifted(payload: bytes, error: msgspec.ValidationError) -> bytes:
    """The document as today's types have it; raises `error` when nobody can lift it."""
    document = _document(payload)
    upcast = UPCASTS.get(str(document.get("type")))
    if upcast is None:
        raise error
    return msgspec.json.encode(upcast(document))
