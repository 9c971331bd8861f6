"""The worked example of the domain, with its numbers after each step."""

from collections import Counter

from schemas.decisions import PurchaseReturned, PurchaseRewarded
from tests.core.account_tools import Member, at, timeline

PROGRAM = """
program: worked-example
currency: RUB
time_zone: UTC
effective_from: 2025-01-01T00:00:00Z
point_value: 1
activation: {after: P14D}
expiry: {after: P12M}
earn:
  - {id: base, award: {rate: {points: 5, per_amount: 10000}}}
  - {id: gold-double, when: {tier: gold}, award: {multiplier: {of: base, by: 2}}}
tiers:
  qualify_by: {amount_spent: {window: calendar_year}}
  levels: [{id: gold, at_least: 1}]
redemption: {restore_grace: P7D}
"""


def totals(member: Member) -> int:
    return sum(p.points for event in member.events for p in event.postings)


def gold_member() -> Member:
    """One purchase too small to earn anything made the member gold the year before."""
    member = Member(timeline(PROGRAM))
    member.buy("2025-06-01", "earlier", 1)
    assert member.account.tier == "gold"
    assert member.points == (0, 0, 0)
    return member


def test_the_worked_example() -> None:
    member = gold_member()
    rewarded = member.buy("2026-01-10", "X", 129_900, 45_050)[-1]
    assert isinstance(rewarded, PurchaseRewarded)
    base, gold = rewarded.awards
    assert (base.rule, base.points, base.value) == ("base", 87, 87)
    assert (gold.rule, gold.points, gold.value) == ("gold-double", 87, 87)
    for award in (base, gold):
        assert [(share.line, share.points) for share in award.lines] == [(0, 65), (1, 22)]
        assert award.activates_at == at("2026-01-24")
        assert award.expires_at == at("2027-01-24")
    assert member.points == (0, 174, 0)
    assert totals(member) == 0

    returned = member.give_back("2026-01-20", "X", "R1", {"2": 45_050})[-1]
    assert isinstance(returned, PurchaseReturned)
    assert sum(clawback.taken for clawback in returned.clawbacks) == 44
    assert {p.account for p in returned.postings} == {"pending", "revoked"}
    assert member.points == (0, 130, 0)
    assert totals(member) == 0

    member.reserve("2026-01-25", "V1", 100)
    assert member.points == (30, 0, 100)
    assert totals(member) == 0

    member.confirm("2026-01-25", "V1")
    assert member.points == (30, 0, 0)
    assert totals(member) == 0

    member.tick(at("2027-01-24") - 1)
    assert member.points == (30, 0, 0)
    member.tick("2027-01-24")
    assert member.points == (0, 0, 0)
    assert member.account.expired == 30
    assert member.account.granted == 174
    assert totals(member) == 0
    moved: Counter[str] = Counter()
    for event in member.events:
        for posting in event.postings:
            moved[posting.account] += posting.points
    assert moved == {
        "issued": -174,
        "pending": 0,
        "available": 0,
        "reserved": 0,
        "revoked": 44,
        "redeemed": 100,
        "expired": 30,
    }
