"""Random histories under programs that let time do more: rolling tiers, welcomes, tiers
set by hand, expiry after inactivity, activation on an event, shares of purchases. Whoever
looks, and however often, time has done the same."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fields import Instant
from tests.core.histories import (
    HOUR_US,
    STEPS_MAX,
    Step,
    Town,
    programs,
    step,
)
from tests.core.test_account_histories import (
    SAMPLES,
    forecasts_hold,
    postings_tell,
    settles_alike,
    versions,
)


@st.composite
def timed(draw: st.DrawFn) -> dict[str, Any]:
    """A random program whose tiers roll."""
    document = draw(programs())
    tiers = document["tiers"]
    (measure,) = tiers["qualify_by"]
    window = draw(st.sampled_from(["P5D", "P20D", "P1M"]))
    tiers["qualify_by"] = {measure: {"rolling": window}}
    tiers["downgrade"] = draw(
        st.sampled_from([{}, {"grace": "P3D"}, {"to": "one_down", "grace": "P4D"}])
    )
    inactivity = st.sampled_from([{"after_inactivity": "P9D"}, {"after_inactivity": "P1M"}])
    on_event = st.sampled_from(
        [
            {"on": "survey.completed.v1", "within": "P5D"},
            {"on": "purchase.completed.v1", "within": "P2D"},
        ]
    )
    for part in (document, *document["earn"], *document["surveys"], *document["referral"].values()):
        if "id" in part or "expiry" in part or "fixed" in part:
            if draw(st.integers(0, 3)) == 0:
                part["expiry"] = draw(inactivity)
            if draw(st.integers(0, 3)) == 0:
                part["activation"] = draw(on_event)
    referral = document["referral"]
    if draw(st.booleans()):
        share = {"rate": {"points": 5, "per_amount": 100}, "orders": draw(st.integers(1, 4))}
        referral["referrer"]["share"] = share
    if draw(st.booleans()):
        referral["per_referrer"] = {"times": draw(st.integers(1, 2)), "per": "month"}
    for level in tiers["levels"]:
        if draw(st.booleans()):
            level["welcome"] = draw(st.integers(1, 30))
    return document


class TimedTown(Town):
    """A town whose members can be given a tier."""

    def take(self, who: str, when: Instant, step: tuple[Any, ...]) -> None:
        if step[0] == "tier":
            self.latest = max(self.latest, when)
            self.done(None, self.ours[who].override(when, step[1], when + step[2] * HOUR_US))
        else:
            super().take(who, when, step)


def timed_versions(first: dict[str, Any], change: tuple[dict[str, Any], int] | None) -> TimedTown:
    later = versions(first, change)
    town = TimedTown(first)
    town.timeline = later.timeline
    for member in town.ours.values():
        member.programs = later.timeline
    return town


by_hand = st.tuples(
    st.sampled_from([0, 0, 1]),
    st.integers(0, 100),
    st.sampled_from([0, 0, 2, 30]),
    st.tuples(st.just("tier"), st.sampled_from(["none", "silver", "gold"]), st.integers(1, 900)),
)
timed_steps = st.lists(st.one_of(step, step, step, step, step, by_hand), max_size=STEPS_MAX)
changes = st.one_of(st.none(), st.tuples(st.one_of(timed(), programs()), st.integers(5, 60)))


@settings(max_examples=SAMPLES)
@given(timed(), changes, timed_steps, st.lists(st.integers(0, 50), min_size=1, max_size=9))
def test_settling_in_one_step_or_in_many_is_the_same(
    document: dict[str, Any],
    change: tuple[dict[str, Any], int] | None,
    history: list[Step],
    ticks: list[int],
) -> None:
    rarely, often = timed_versions(document, change), timed_versions(document, change)
    settles_alike(rarely, often, history, ticks)


@settings(max_examples=SAMPLES)
@given(timed(), changes, timed_steps, st.lists(st.integers(0, 24 * 90), min_size=1, max_size=5))
def test_a_forecast_is_what_settling_yields(
    document: dict[str, Any],
    change: tuple[dict[str, Any], int] | None,
    history: list[Step],
    asked: list[int],
) -> None:
    forecasts_hold(timed_versions(document, change), history, asked)


@settings(max_examples=SAMPLES)
@given(timed(), changes, timed_steps)
def test_postings_tell_the_balances_of_every_moment(
    document: dict[str, Any], change: tuple[dict[str, Any], int] | None, history: list[Step]
) -> None:
    postings_tell(timed_versions(document, change), history)
