"""Events to bytes and back: msgspec JSON, typed; old documents are lifted before typing.

`Transcoder` is the library's interface over the same two functions, so that there is one encoding
and not two.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from eventsourcing.persistence import Transcoder as LibraryTranscoder

from schemas.decisions import LogEvent

Document = dict[str, Any]

UPCASTS: dict[str, Callable[[Document], Document]] = {}
"""By event type: how to lift a document of an older structure to today's. A document is given to
its type's function whenever today's types do not accept it as it is."""

encode_event = msgspec.json.Encoder(decimal_format="string").encode
"""The payload of an event: deterministic, fields in the order of their declaration."""

_decode = msgspec.json.Decoder(LogEvent).decode
_decode_document = msgspec.json.Decoder(Document).decode


def decode_event(payload: bytes) -> LogEvent:
    """The event that `payload` holds. Raises msgspec.ValidationError if it is none."""
    try:
        event: LogEvent = _decode(payload)
    except msgspec.ValidationError:
        document = _decode_document(payload)
        upcast = UPCASTS.get(document.get("type", ""))
        if upcast is None:
            raise
        event = msgspec.convert(upcast(document), LogEvent)
    return event


class Transcoder(LibraryTranscoder):
    """TRANSCODER_TOPIC of the eventsourcing library."""

    def encode(self, obj: Any) -> bytes:
        return encode_event(obj)

    def decode(self, data: bytes) -> Any:
        return decode_event(data)
