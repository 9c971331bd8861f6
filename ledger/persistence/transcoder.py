"""The eventsourcing library's interface over the one encoding of log events.

The functions themselves are `schemas.log_events`; this class must add nothing to them.
"""

from typing import Any

from eventsourcing.persistence import Transcoder as LibraryTranscoder

from schemas.log_events import decode_event, encode_event


class Transcoder(LibraryTranscoder):
    """TRANSCODER_TOPIC of the eventsourcing library."""

    def encode(self, obj: Any) -> bytes:
        return encode_event(obj)

    def decode(self, data: bytes) -> Any:
        return decode_event(data)
