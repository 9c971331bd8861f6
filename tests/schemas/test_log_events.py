"""Old documents of the log are lifted to today's structure, whoever reads them."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from projections import log
from projections.errors import LogDamaged
from schemas import log_events
from schemas.decisions import LedgerCreated, MemberErased
from schemas.log_events import (
    Document,
    decode_account_event,
    decode_event,
    decode_system_event,
    encode_event,
)

ERASED = MemberErased(occurred_at=5, reason="asked")
CREATED = LedgerCreated(
    occurred_at=0, ledger_id="l", program_id="p", currency="EUR", time_zone="UTC", shards=4
)


def as_it_was(event: Any, **changes: Any) -> bytes:
    """The event in a structure of the past: `when` in seconds."""
    document = json.loads(encode_event(event)) | changes
    document["when"] = document.pop("occurred_at", 0) // 1_000_000
    return json.dumps(document).encode()


def lift(document: Document) -> Document:
    return {**document, "occurred_at": document["when"] * 1_000_000 + 5 * ("reason" in document)}


@pytest.fixture(autouse=True)
def upcasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_events, "UPCASTS", {"MemberErased": lift, "LedgerCreated": lift})


def test_every_reader_lifts() -> None:
    erased, created = as_it_was(ERASED), as_it_was(CREATED)
    assert decode_event(erased) == decode_account_event(erased) == ERASED
    assert decode_event(created) == decode_system_event(created) == CREATED
    account = log.Entry(0, 1, UUID(int=0), "m", 1, erased)
    assert log.decode(account) == ERASED
    assert log.decode_system(account._replace(payload=created)) == CREATED


def test_what_nobody_can_lift_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_events, "UPCASTS", {})
    with pytest.raises(msgspec.ValidationError):
        decode_event(as_it_was(ERASED))
    for payload in (as_it_was(ERASED), b"[]", b"{", b'{"type": []}', b'{"type": "Unknown"}'):
        with pytest.raises(LogDamaged) as damaged:
            log.decode(log.Entry(0, 1, UUID(int=0), "m", 1, payload))
        assert damaged.value.code == "log_undecodable"


def test_todays_documents_are_not_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(document: Document) -> Document:
        raise AssertionError

    monkeypatch.setattr(log_events, "UPCASTS", {"MemberErased": never})
    assert decode_event(encode_event(ERASED)) == ERASED
