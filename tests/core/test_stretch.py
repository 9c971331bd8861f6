"""Stretches and windows say of every moment what the calendar says of it, and remember few of them.

They are short cuts: whatever the zone, the clock changes and the lengths, asking one is asking the
calendar. Moments are taken close together around clock changes and the ends of days, where a short
cut would go wrong.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.calendar import DAY_US, Period, add, parse_instant, period_bounds, period_key
from ledger.core.program import stretch as stretches
from ledger.core.program import window as windows
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.duration import parse_duration
from ledger.core.program.load import load_program
from ledger.core.program.timing import Timing
from ledger.core.program.window import Windows
from tests.core.program_texts import DEMO

ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu")
"""With clocks set forward over midnight (São Paulo), by half an hour, and one off the hour."""

LENGTHS = ("PT6H", "PT90M", "P1D", "P7D", "P1M", "P6M", "P1Y", "P1M3D", "P1DT12H")
KEPT: dict[str, Compiled] = {}

CHANGES = tuple(
    parse_instant(text)
    for text in (
        *("2017-03-26T01:00:00Z", "2017-10-29T01:00:00Z", "2017-10-15T03:00:00Z"),
        *("2018-02-18T02:00:00Z", "2017-10-01T15:30:00Z", "2018-03-31T15:00:00Z"),
        *("2017-12-31T23:00:00Z", "2018-01-01T00:00:00Z", "2016-02-29T12:00:00Z"),
    )
)
moments = st.one_of(
    st.builds(
        lambda change, off: change + off,
        st.sampled_from(CHANGES),
        st.one_of(st.integers(-DAY_US, DAY_US), st.integers(-3, 3), st.integers(-200, 200).map(
            lambda days: days * DAY_US)),
    ),
    st.integers(parse_instant("2016-01-01T00:00:00Z"), parse_instant("2020-01-01T00:00:00Z")),
)  # fmt: skip
rules = st.fixed_dictionaries(
    {
        "activation": st.one_of(
            st.just("immediately"), st.sampled_from(LENGTHS).map(lambda length: {"after": length})
        ),
        "expiry": st.one_of(
            st.just("never"),
            st.sampled_from(LENGTHS).map(lambda length: {"after": length}),
            st.builds(
                lambda unit, length: {"end_of": unit, "after": length},
                st.sampled_from(("month", "year")),
                st.sampled_from(LENGTHS),
            ),
        ),
    }
)


def program(zone: str, timings: list[dict[str, Any]], returns: str) -> Compiled:
    """A program with a rule of each timing; the second is valid for some hours only."""
    document: dict[str, Any] = {
        "program": "t",
        "currency": "RUB",
        "time_zone": zone,
        "point_value": 1,
        "effective_from": "2016-01-01T00:00:00Z",
        "activation": "immediately",
        "expiry": "never",
        "earn": [
            {"id": f"r{i}", "award": {"fixed": 1}, "limits": [{"times": 9, "per": per}], **timing}
            for i, (timing, per) in enumerate(
                zip(timings, ("day", "iso_week", "month", "year", "lifetime"), strict=False)
            )
        ],
        "returns": {"policy": "debt", "window": returns},
    }
    if len(timings) > 1:
        document["earn"][1]["valid"] = {
            "from": "2017-03-26T00:59:59Z",
            "to": "2017-10-29T01:00:01Z",
        }
    return compile_program(load_program(json.dumps(document), "t.yaml"))


@given(
    st.sampled_from(ZONES),
    st.lists(rules, min_size=1, max_size=5),
    st.sampled_from(LENGTHS),
    st.lists(moments, min_size=1, max_size=30),
)
def test_a_stretch_says_what_the_calendar_says(
    zone: str, timings: list[dict[str, Any]], returns: str, asked: list[int]
) -> None:
    compiled = program(zone, timings, returns)
    for at in asked:
        stretch = compiled.stretch(at)
        assert stretch.start <= at < stretch.end
        assert stretch.month == period_bounds(at, "month", compiled.zone)[0]
        assert stretch.returnable_until(at) == add(at, parse_duration(returns), compiled.zone)
        valid = [rule.id for rule in compiled.rules if rule.start <= at < rule.end]
        assert [rule.id for _, rule in stretch.rules("none")] == valid
        for place, (rule, form) in enumerate(zip(compiled.rules, compiled.form.earn, strict=True)):
            assert form.activation is not None
            assert form.expiry is not None
            timing = Timing(form.activation, form.expiry)
            assert stretch.moments(rule.timing, at) == timing.moments(at, compiled.zone)
            (limit,) = rule.limits
            assert limit.per != "order"
            key = period_key(at, limit.per, compiled.zone)
            assert stretch.counters(place) == (f"{rule.id}/{limit.per}/{key}",)


@given(
    st.sampled_from(ZONES),
    st.sampled_from(("month", "quarter", "year")),
    st.sampled_from((None, "P1M", "P10D", "PT6H")),
    st.lists(moments, min_size=1, max_size=30),
)
def test_a_window_is_the_calendars(
    zone: str, per: Period, grace: str | None, asked: list[int]
) -> None:
    compiled = KEPT.setdefault(zone, program(zone, [{}], "P1M"))
    length = None if grace is None else parse_duration(grace)
    found = Windows(per, length, compiled.zone)
    for at in asked:
        window = found.at(at)
        start, end = period_bounds(at, per, compiled.zone)
        assert (window.start, window.end) == (start, end)
        assert window.before == period_bounds(start - 1, per, compiled.zone)[0]
        assert window.grace_ends == (start if length is None else add(start, length, compiled.zone))


def test_only_so_many_stretches_and_windows_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stretches, "STRETCHES_MAX", 5)
    monkeypatch.setattr(windows, "WINDOWS_MAX", 5)
    compiled = compile_program(load_program(DEMO, "program.yaml"))
    found = Windows("month", None, compiled.zone)
    for day in [*range(0, 400, 7), *range(400, 0, -9)]:
        at = compiled.effective_from + day * DAY_US
        assert compiled.stretch(at).start == at
        assert found.at(at).start == period_bounds(at, "month", compiled.zone)[0]
        owner = compiled.stretch.__self__  # type: ignore[attr-defined]
        assert len(owner._found) <= 5
        assert len(found._found) == len(found._starts) <= 5
