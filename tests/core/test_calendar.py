"""Calendar arithmetic: the rules of the zones, and what holds for every moment."""

import time
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.calendar import (
    DAY_US,
    Period,
    add,
    end_of,
    format_instant,
    from_instant,
    parse_instant,
    period_bounds,
    period_key,
    subtract,
    to_instant,
)
from ledger.core.program.duration import Duration, parse_duration
from schemas.fields import Instant

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    UTC_ZONE,
    BERLIN,
    ZoneInfo("America/Sao_Paulo"),  # its clocks went forward at midnight
    ZoneInfo("America/St_Johns"),  # its clocks went back over midnight
    ZoneInfo("Pacific/Apia"),  # it left out a day
    ZoneInfo("Asia/Kolkata"),
    ZoneInfo("Australia/Lord_Howe"),  # its clocks change by half an hour
]
PERIODS: list[Period] = ["day", "iso_week", "month", "quarter", "year", "lifetime"]

moments = st.integers(to_instant(datetime(1970, 1, 2, tzinfo=UTC)), 4_000_000_000_000_000)
durations = st.builds(
    Duration,
    months=st.integers(0, 600),
    days=st.integers(0, 4_000),
    seconds=st.integers(0, 10**8),
)


def at(text: str) -> Instant:
    return parse_instant(text)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        ("2017-08-31T10:00:00Z", "P6M", "2018-02-28T10:00:00Z"),
        ("2019-08-31T10:00:00Z", "P6M", "2020-02-29T10:00:00Z"),
        ("2020-02-29T00:00:00Z", "P1Y", "2021-02-28T00:00:00Z"),
        ("2017-01-31T23:59:59.000001Z", "P1M1D", "2017-03-01T23:59:59.000001Z"),
        ("2017-01-01T00:00:00Z", "P1W", "2017-01-08T00:00:00Z"),
        ("2017-12-31T23:00:00Z", "PT2H", "2018-01-01T01:00:00Z"),
        ("2026-01-24T09:30:00Z", "P12M", "2027-01-24T09:30:00Z"),
    ],
)
def test_adding_in_utc(start: str, length: str, expected: str) -> None:
    assert format_instant(add(at(start), parse_duration(length), UTC_ZONE)) == expected


def test_subtracting_counts_back() -> None:
    assert subtract(at("2017-03-31T00:00:00Z"), parse_duration("P1M"), UTC_ZONE) == at(
        "2017-02-28T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        # The same local time although the day had 23 or 25 hours.
        ("2024-03-30T12:00:00+01:00", "P1D", "2024-03-31T12:00:00+02:00"),
        ("2024-10-26T12:00:00+02:00", "P1D", "2024-10-27T12:00:00+01:00"),
        # 02:30 does not exist on 31 March: forward by the hour that is missing.
        ("2024-03-30T02:30:00+01:00", "P1D", "2024-03-31T03:30:00+02:00"),
        # 02:30 occurs twice on 27 October: the first.
        ("2024-10-26T02:30:00+02:00", "P1D", "2024-10-27T02:30:00+02:00"),
        # Hours are exact.
        ("2024-03-30T12:00:00+01:00", "PT24H", "2024-03-31T13:00:00+02:00"),
        # Days first, then hours.
        ("2024-03-30T02:00:00+01:00", "P1DT1H", "2024-03-31T04:00:00+02:00"),
    ],
)
def test_adding_over_a_clock_change(start: str, length: str, expected: str) -> None:
    assert add(at(start), parse_duration(length), BERLIN) == at(expected)


def test_no_length_changes_nothing_even_in_an_overlap() -> None:
    second = at("2024-10-27T02:30:00+01:00")
    assert add(second, Duration(), BERLIN) == second
    assert add(second, Duration(seconds=60), BERLIN) == second + 60_000_000


@pytest.mark.parametrize(
    ("moment", "per", "key"),
    [
        ("2017-06-01T00:00:00Z", "day", "2017-06-01"),
        ("2017-06-01T00:00:00Z", "iso_week", "2017-W22"),
        ("2017-01-01T00:00:00Z", "iso_week", "2016-W52"),
        ("2018-12-31T00:00:00Z", "iso_week", "2019-W01"),
        ("2017-06-30T23:59:59Z", "month", "2017-06"),
        ("2017-06-30T23:59:59Z", "quarter", "2017-Q2"),
        ("2017-12-31T23:59:59.999999Z", "year", "2017"),
        ("2017-12-31T23:59:59.999999Z", "lifetime", "all"),
    ],
)
def test_period_keys(moment: str, per: Period, key: str) -> None:
    assert period_key(at(moment), per, UTC_ZONE) == key


def test_periods_are_those_of_the_zone() -> None:
    late = at("2017-12-31T23:30:00Z")
    assert period_key(late, "year", UTC_ZONE) == "2017"
    assert period_key(late, "year", BERLIN) == "2018"
    assert end_of(late, "month", BERLIN) == at("2018-02-01T00:00:00+01:00")
    assert end_of(at("2018-01-01T00:00:00Z"), "year", UTC_ZONE) == at("2019-01-01T00:00:00Z")


def test_a_day_that_was_left_out_is_in_no_period() -> None:
    apia = ZoneInfo("Pacific/Apia")
    start, end = period_bounds(at("2011-12-29T12:00:00-10:00"), "day", apia)
    assert end - start == 24 * 3600 * 1_000_000
    assert period_key(end, "day", apia) == "2011-12-31"


def test_moments_are_written_and_read() -> None:
    assert format_instant(0) == "1970-01-01T00:00:00Z"
    assert format_instant(1) == "1970-01-01T00:00:00.000001Z"
    assert parse_instant("1970-01-01T01:00:00+01:00") == 0
    for text in ("1970-01-01", "1970-01-01T00:00:00", "now", "2017-02-30T00:00:00Z"):
        with pytest.raises(ValueError, match="is not a moment"):
            parse_instant(text)


@given(moments)
def test_instants_and_datetimes_are_the_same(moment: Instant) -> None:
    assert to_instant(from_instant(moment)) == moment
    assert parse_instant(format_instant(moment)) == moment
    elsewhere = from_instant(moment).astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert to_instant(elsewhere) == moment


@given(moments, durations, st.sampled_from(ZONES))
def test_adding_never_goes_back(moment: Instant, length: Duration, zone: ZoneInfo) -> None:
    assert add(moment, length, zone) >= moment
    assert subtract(moment, length, zone) <= moment


@given(moments, durations, st.integers(0, 100), st.sampled_from(ZONES))
def test_a_longer_duration_never_ends_earlier(
    moment: Instant, length: Duration, days: int, zone: ZoneInfo
) -> None:
    longer = Duration(months=length.months, days=length.days + days, seconds=length.seconds)
    assert add(moment, longer, zone) >= add(moment, length, zone)


@given(moments, moments, durations)
def test_adding_in_utc_keeps_the_order_of_days(
    one: Instant, other: Instant, length: Duration
) -> None:
    first, second = sorted((one, other))
    whole = Duration(months=length.months, days=length.days)
    days = [add(each, whole, UTC_ZONE) // 86_400_000_000 for each in (first, second)]
    assert days[0] <= days[1]


@given(moments, st.sampled_from(PERIODS), st.sampled_from(ZONES))
def test_periods_contain_their_moments_and_adjoin(
    moment: Instant, per: Period, zone: ZoneInfo
) -> None:
    start, end = period_bounds(moment, per, zone)
    assert start <= moment < end
    if per != "lifetime":
        assert period_bounds(end, per, zone)[0] == end
        assert period_bounds(start - 1, per, zone)[1] == start
    key = period_key(moment, per, zone)
    assert period_key(start, per, zone) == period_key(end - 1, per, zone) == key


@given(moments, st.sampled_from(PERIODS))
def test_utc_by_division_is_utc_by_the_database(moment: Instant, per: Period) -> None:
    plain = ZoneInfo("Etc/GMT")  # the same as UTC, but not known as such here
    assert period_bounds(moment, per, UTC_ZONE) == period_bounds(moment, per, plain)
    assert period_key(moment, per, UTC_ZONE) == period_key(moment, per, plain)


@given(moments, durations)
def test_adding_by_division_is_adding_by_the_database(moment: Instant, length: Duration) -> None:
    plain = ZoneInfo("Etc/GMT")
    assert add(moment, length, UTC_ZONE) == add(moment, length, plain)
    assert subtract(moment, length, UTC_ZONE) == subtract(moment, length, plain)


def test_the_machine_s_own_zone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        day = parse_instant("2031-03-09T12:00:00Z")  # asked nowhere else: nothing is remembered
        for zone, offset in (("UTC", 0), ("Asia/Tokyo", -9 * DAY_US // 24)):
            start, end = period_bounds(day, "day", ZoneInfo(zone))
            assert start == parse_instant("2031-03-09T00:00:00Z") + offset
            assert end - start == DAY_US
            assert format_instant(end_of(day, "month", ZoneInfo(zone)) - offset) == (
                "2031-04-01T00:00:00Z"
            )
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_day_that_began_twice_has_the_bounds_of_its_first_beginning() -> None:
    """At 00:01 the clocks went back to 23:01: what is between lies in the new day all the same."""
    johns = ZoneInfo("America/St_Johns")
    start, end = at("2010-11-07T00:00:00-02:30"), at("2010-11-08T00:00:00-03:30")
    for moment in (start, start + 60_000_000, at("2010-11-06T23:30:00-03:30"), end - 1):
        assert period_key(moment, "day", johns) == "2010-11-07"
        assert period_bounds(moment, "day", johns) == (start, end)
    assert period_key(start - 1, "day", johns) == "2010-11-06"
