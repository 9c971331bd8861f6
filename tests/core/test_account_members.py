"""Members: profiles leave outcomes only, erasure leaves nothing to spend; snapshots."""

import msgspec

from ledger.core import snapshot
from ledger.core.account import Account
from ledger.core.members import profile_conditions
from ledger.core.program.form import Segment, SegmentWhen
from ledger.core.program.load import load_program
from schemas.decisions import MemberErased, MemberProfiled
from tests.core.account_tools import MINIMAL, Member, refused, timeline

REST = """
surveys: [{id: s, award: {fixed: 20}}]
returns: {policy: debt}
referral:
  qualifies: {first_purchase: {at_least: 100}}
  referee: {fixed: 50}
"""


def test_a_profile_leaves_only_outcomes_of_conditions() -> None:
    member = Member(timeline(MINIMAL))
    event = member.profile("2017-01-02", enrolled=True, tags=("vip", "staff"), region="north")[-1]
    assert isinstance(event, MemberProfiled)
    assert event.kind == "enrolled"
    assert event.outcomes == {}
    assert b"north" not in msgspec.json.encode(event)
    assert member.profile("2017-01-03", region=None)[-1].occurred_at > event.occurred_at


def test_conditions_have_stable_ids() -> None:
    program = load_program(MINIMAL, "test.yaml")
    segments = (Segment(id="x", when=SegmentWhen(tag=("vip", "old"), region="north")),)
    with_segments = msgspec.structs.replace(program, segments=segments)
    assert profile_conditions(with_segments) == ("region:north", "tag:old", "tag:vip")


def test_a_refused_profile_tells_nothing_of_it() -> None:
    member = Member(timeline(MINIMAL))
    member.erase("2017-01-02")
    events = member.profile("2017-01-03", region="north")
    assert refused(events) == "account_erased"
    assert b"north" not in msgspec.json.encode(events[-1])


def test_an_erased_account_is_empty_and_takes_no_inputs() -> None:
    member = Member(timeline(MINIMAL + REST))
    member.referred("2017-01-01", "old")
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-02", "v", 5)
    member.give_back("2017-01-02", "later", "r")
    event = member.erase("2017-01-03")[-1]
    assert isinstance(event, MemberErased)
    assert event.refused_returns == ("r",)
    assert member.points == (0, 0, 0)
    assert sum(p.points for p in event.postings if p.account == "revoked") == 20
    assert member.account.referral is not None
    assert member.account.referral.status == "closed"
    assert refused(member.buy("2017-01-04", "X", 1000)) == "account_erased"
    assert member.tick("2019-01-01") == []


def test_an_erased_account_owes_nothing() -> None:
    member = Member(timeline(MINIMAL + REST))
    member.buy("2017-01-02", "X", 1000)
    member.reserve("2017-01-02", "v", 10)
    member.confirm("2017-01-02", "v")
    member.give_back("2017-01-02", "X", "r")
    assert member.points[0] == -10
    member.erase("2017-01-03")
    assert member.account.balances().debt == 0


def test_the_schema_hash_is_of_the_structure() -> None:
    assert len(snapshot.SCHEMA_HASH) == 32
    assert snapshot.decode(snapshot.encode(Account.new("m"))) == Account.new("m")
