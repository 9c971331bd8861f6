"""An activity earns what a purchase would under the same rules: the one evaluation is held against
the other, over random rules and histories."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decisions import ActivityRewarded, Award, PurchaseRewarded
from tests.core.account_tools import Member, at, timeline
from tests.core.histories import HOUR_US

SAMPLES = 60
"""Pairs of histories in a run."""

limits = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"per": st.sampled_from(["day", "iso_week", "month", "year", "lifetime"]),
             "points": st.integers(1, 60)}
        ),
        st.fixed_dictionaries(
            {"per": st.sampled_from(["day", "iso_week", "month", "year", "lifetime"]),
             "times": st.integers(1, 3)}
        ),
    ),
    max_size=2,
)  # fmt: skip
whens = st.sampled_from(
    [
        {},
        {"tier": "none"},
        {"tier_at_least": "gold"},
        {"balance": {"at_least": 25}},
        {"weekday": ["mon", "sat", "sun"]},
        {"hours": {"from": "20:00", "to": "08:00"}},
        {"store": "s1"},
        {"store": "s2"},
        {"tag": "vip"},
    ]
)
stackings = st.sampled_from(["add", "add", "exclusive", {"best_of_group": "g"}])
expiries = st.sampled_from([{"after": "P9D"}, {"end_of": "month"}, "never"])
activations = st.sampled_from(["immediately", {"after": "P3D"}])


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rules with fixed awards, and multipliers of those before them."""
    found: list[dict[str, Any]] = []
    for n in range(draw(st.integers(1, 5))):
        award: dict[str, Any] = {"fixed": draw(st.integers(1, 30))}
        if draw(st.booleans()) and found:
            of = draw(st.sampled_from(found))["id"]
            award = {"multiplier": {"of": of, "by": draw(st.sampled_from(["1", "1.5", "3"]))}}
        found.append(
            {
                "id": f"r{n}",
                "award": award,
                "when": draw(whens),
                "limits": draw(limits),
                "stacking": draw(stackings),
                "activation": draw(activations),
                "expiry": draw(expiries),
                "rounding": draw(st.sampled_from(["floor", "half_even", "ceil"])),
                "counts_for_tier": draw(st.booleans()),
            }
        )
    return found


def member_of(earn: list[dict[str, Any]]) -> Member:
    """A member with a tag under these rules; tiers by points."""
    document = {
        "program": "compared",
        "currency": "RUB",
        "time_zone": "Europe/Berlin",
        "effective_from": "2017-01-01T00:00:00Z",
        "point_value": 1,
        "activation": "immediately",
        "expiry": "never",
        "earn": earn,
        "tiers": {
            "qualify_by": {"points_earned": {"window": "calendar_month"}},
            "levels": [{"id": "gold", "at_least": 40}],
        },
    }
    member = Member(timeline(json.dumps(document)))
    member.profile("2017-01-01", tags=("vip",))
    return member


def bare(award: Award) -> dict[str, Any]:
    """The award without what only a purchase has."""
    told = {name: getattr(award, name) for name in award.__struct_fields__}
    return told | {"lines": (), "matched_amount": 0}


@settings(max_examples=SAMPLES)
@given(
    rules(),
    st.lists(st.tuples(st.integers(0, 24 * 20), st.integers(0, 60)), min_size=1, max_size=20),
)
def test_activities_earn_as_purchases_do(
    earn: list[dict[str, Any]], history: list[tuple[int, int]]
) -> None:
    shopper = member_of(earn)
    reader = member_of([{**rule, "on": {"activity": ["read", "other"]}} for rule in earn])
    now = at("2017-01-01") + 60 * HOUR_US
    for n, (hours, late) in enumerate(history):
        now += hours * HOUR_US
        bought = shopper.buy(now - late * HOUR_US, f"o{n}", 100)[-1]
        done = reader.activity(now - late * HOUR_US, "read", f"b{n}", "s1")[-1]
        assert isinstance(bought, PurchaseRewarded)
        assert isinstance(done, ActivityRewarded)
        assert list(map(bare, done.awards)) == list(map(bare, bought.awards))
        assert (done.tier, done.facts) == (bought.tier, bought.facts)
        assert (done.tier_changes, done.postings) == (bought.tier_changes, bought.postings)
        assert reader.account.used == shopper.account.used
        assert reader.points == shopper.points
    counted = {month: points for month, (_, points, _) in shopper.account.months.items() if points}
    assert {month: of[1] for month, of in reader.account.months.items()} == counted
    assert reader.account.purchases == 0
