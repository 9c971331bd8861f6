"""Every point of generated histories is accounted for, and so is every rule."""

import pytest
from msgspec import json

from audit.explain import explain
from audit.explanation import Explanation
from ledger.core.calendar import INSTANT_MAX
from ledger.core.settle import settle
from schemas.decisions import NO_LOT, AccountEvent
from schemas.fields import Instant
from tests.audit.explained.towns import LEDGER, log_of, moments_of, town_of
from tests.core.account_tools import Member

SEEDS = range(24)


def posted(member: Member, at: Instant) -> dict[str, int]:
    """docs/domain.md, Time: the postings effective by then, then settled to then."""
    events: list[AccountEvent] = list(member.events)
    settled = settle(member.account, at, member.programs)
    if settled is not None:
        events.append(settled)
    postings = [p for event in events for p in event.postings if p.effective_at <= at]
    found = {
        "debt": -sum(p.points for p in postings if p.lot == NO_LOT and p.account == "available")
    }
    for name in ("available", "pending", "reserved", "issued", "redeemed", "expired", "revoked",
                 "adjusted", "transferred"):  # fmt: skip
        found[name] = sum(p.points for p in postings if p.account == name)
    return found


def explained(member: Member, at: Instant) -> Explanation | None:
    return explain(member.id, log_of(member), member.programs, LEDGER, at)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_point_of_every_lot_is_accounted_for(seed: int) -> None:
    town = town_of(seed)
    for member in town.members.values():
        for at in moments_of(town, 4, seed):
            found = explained(member, at)
            if found is None:
                assert all(event.occurred_at > at for event in member.events)
                continue
            books = posted(member, at)
            for name in ("available", "pending", "reserved", "debt"):
                assert getattr(found, name) == books[name], name
            came = sum(lot.came for lot in found.lots)
            assert came == sum(sum(lot.went.values()) + lot.left for lot in found.lots)
            went: dict[str, int] = {}
            for lot in found.lots:
                assert sum(lot.went.values()) + lot.left == lot.came
                assert sum(each.points for each in lot.awards) in (0, lot.came)
                for kind, points in lot.went.items():
                    went[kind] = went.get(kind, 0) + points
            assert went.get("expired", 0) == books["expired"]
            spent = sum(went.get(kind, 0) for kind in ("spent", "donated", "claimed"))
            assert spent == books["redeemed"]
            paid = sum(each.points for one in found.owed for each in one.payments if each.lot)
            assert paid == went.get("paid_debt", 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_movement_names_what_moved_it(seed: int) -> None:
    town = town_of(seed)
    for member in town.members.values():
        found = explained(member, INSTANT_MAX)
        assert found is not None
        for lot in found.lots:
            assert (lot.by.order_id or lot.by.member or lot.by.event != "PurchaseRewarded") != ""
            for move in lot.movements:
                if move.kind == "spent":
                    assert move.by.redemption_id
                if move.kind == "taken_back":
                    assert move.by.return_id
                    assert move.by.order_id
                if move.kind in ("sent", "merged"):
                    assert move.by.member
        assert json.decode(json.encode(found), type=Explanation) == found
