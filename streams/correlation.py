"""Which request a record came by: its correlation id, in a header, and the worker's lines about it.

The API's batch ingest puts the id of its request into the record's last header. Once the records
are stored the worker's log tells, under the same id, what became of them, so that a request is
followed from the API's log through Kafka into the worker's.
"""

import re
from collections import Counter
from collections.abc import Sequence

import structlog

from ledger.received import Outcome, Received

HEADER = "x-correlation-id"
"""Of a record; always its last header, so that the records of all others cost one comparison."""

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

log = structlog.get_logger(__name__)


def header_of(correlation_id: str) -> tuple[str, bytes]:
    """The header of a record that a request brought."""
    return HEADER, correlation_id.encode()


def told(batch: Sequence[Received], outcomes: Sequence[Outcome]) -> None:
    """Log what became of the records that requests brought: a line for each request and batch, so
    at most one for each record."""
    found: dict[str, Counter[str]] = {}
    for item, outcome in zip(batch, outcomes, strict=True):
        if item.record is None or not item.record.headers:
            continue
        name, value = item.record.headers[-1]
        if name != HEADER or value is None or not _ID.fullmatch(value):
            continue
        kinds = found.setdefault(value.decode(), Counter())
        kinds[outcome.kind] += 1
    for correlation_id, kinds in found.items():
        log.info("events_of_request_stored", correlation_id=correlation_id, **kinds)
