"""Members: profiles leave outcomes only, erasure leaves nothing to spend; snapshots."""

import msgspec

from ledger.core import snapshot
from ledger.core.account import Account
from ledger.core.decide import decide_profile_again
from ledger.core.members import added_conditions, profile_conditions, segment_conditions
from ledger.core.program.form import Segment, SegmentWhen
from ledger.core.program.load import load_program
from schemas.decisions import MemberErased, MemberProfiled
from schemas.inputs import Profile
from tests.core.account_tools import MINIMAL, Member, at, refused, timeline

NORTH = MINIMAL + "segments: [{id: n, when: {region: [north, east]}}]\n"
VIP = MINIMAL.replace("2017-01-01", "2018-01-01")
VIP += "segments: [{id: n, when: {region: north}}, {id: v, when: {tag: vip}}]\n"

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


def test_a_segment_asks_one_of_each() -> None:
    when = SegmentWhen(tag=("vip", "old"), region="north")
    assert [sorted(one_of) for one_of in segment_conditions(when)] == [
        ["region:north"],
        ["tag:old", "tag:vip"],
    ]
    assert segment_conditions(SegmentWhen(tier="gold")) == ()


def test_outcomes_are_those_of_the_version_in_force_and_of_later_ones() -> None:
    member = Member(timeline(NORTH, VIP))
    member.profile("2017-01-02", enrolled=True, tags=("vip",), region="east")
    assert member.account.profile == {
        "region:east": True,
        "region:north": False,
        "tag:vip": True,
    }
    member.profile("2017-01-03", region=None)
    assert member.account.profile["tag:vip"], "left out: unchanged"
    assert not member.account.profile["region:east"]
    member.profile("2018-01-03", tags=())
    assert member.account.profile == {"region:north": False, "tag:vip": False}


def test_what_a_version_adds() -> None:
    versions = timeline(NORTH, VIP)
    first, second = (program.version for _, program in versions.versions)
    assert added_conditions(versions, second) == ("tag:vip",)
    assert added_conditions(versions, first) == ()


def test_a_known_profile_is_looked_at_again_when_a_version_asks_more() -> None:
    member = Member(timeline(NORTH))
    member.profile("2017-01-02", enrolled=True, tags=("vip",), region="east")
    member.buy("2017-01-05", "X", 1000)
    later, since = timeline(NORTH, VIP), at("2017-01-02")
    account, known = member.account, Profile(tags=("vip",), region="east")
    settled_to = account.settled_to
    (event,) = decide_profile_again(account, known, since, later)
    assert isinstance(event, MemberProfiled)
    assert (event.kind, event.occurred_at) == ("recomputed", since)
    assert event.program == later.at(since).version
    assert event.outcomes == {"region:east": True, "region:north": False, "tag:vip": True}
    assert account.settled_to == settled_to
    assert decide_profile_again(account, known, since, later) == [], "nothing new to tell"
    other = Member(timeline(NORTH)).account
    assert decide_profile_again(other, Profile(region=None), since, later) == []
    member.erase("2017-01-06")
    assert decide_profile_again(member.account, known, since, later) == []


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
