"""Settling by reading off what falls due of the lots records what stepping through it records."""

import pytest

from ledger.core import lots_due, settle
from ledger.core.account import Account
from ledger.core.program.timeline import Timeline
from schemas.decisions import AccountSettled
from schemas.fields import Instant
from tests.core.account_tools import MINIMAL, Member, at, timeline
from tests.core.test_recorded_bytes import recorded, shopper

HISTORIES = range(1_000, 1_040)
"""Seeds, other than those whose bytes are recorded."""


def test_random_histories_are_the_same_with_it_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    read_off = lots_due.settled_lots
    told: list[AccountSettled] = []

    def noted(account: Account, until: Instant, programs: Timeline) -> AccountSettled | None:
        settled = read_off(account, until, programs)
        told.extend([settled] if settled is not None else [])
        return settled

    monkeypatch.setattr(settle, "settled_lots", noted)
    short = [shopper(), *map(recorded, HISTORIES)]
    kinds = {frozenset(p.account for p in settled.postings) for settled in told}
    assert frozenset(("pending", "available", "expired")) in kinds, "none had to be sorted"
    monkeypatch.setattr(settle, "settled_lots", lambda *_: None)
    assert [shopper(), *map(recorded, HISTORIES)] == short


def test_a_lot_that_expires_soon_after_it_is_available_is_told_in_its_order() -> None:
    activation = "activation: {after: P2D}"
    text = MINIMAL.replace("activation: immediately", activation).replace("P12M", "P1D")
    member = Member(timeline(text))
    for order, day in enumerate(("2017-01-01", "2017-01-02", "2017-01-02")):
        member.buy(day, f"o{order}", 1000)
    (settled,) = member.tick(at("2017-02-01"))
    # The first one expires when the others become available, which goes before.
    assert [(p.account, p.lot) for p in settled.postings if p.points > 0] == [
        ("available", 1),
        ("available", 2),
        ("available", 3),
        ("expired", 1),
        ("expired", 2),
        ("expired", 3),
    ]
