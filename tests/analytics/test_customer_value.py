"""The models of customer value against the parameters published for the CDNOW sample."""

from pathlib import Path

import numpy as np
import pytest

from analytics import bg_nbd, gamma_gamma
from analytics.bg_nbd import Buying, Histories
from analytics.customer_value import Customer, customers, predict
from analytics.errors import AnalysisRefused
from analytics.gamma_gamma import Spending
from tests.analytics.conftest import Figures
from tests.analytics.raw import UNTIL

CDNOW = np.loadtxt(Path(__file__).parent / "data" / "cdnow.csv", delimiter=",", skiprows=1)
HISTORIES = Histories(CDNOW[:, 0], CDNOW[:, 1], CDNOW[:, 2])
MEANS = CDNOW[:, 3]

PUBLISHED_BUYING = Buying(0.243, 4.414, 0.793, 2.426, -9582.4)
PUBLISHED_SPENDING = Spending(6.25, 3.74, 15.44, 0.0)


def test_the_sample_is_the_published_one() -> None:
    assert len(CDNOW) == 2_357
    assert int((CDNOW[:, 0] > 0).sum()) == 946


def test_bg_nbd_finds_the_published_parameters() -> None:
    found = bg_nbd.fit(HISTORIES)
    assert [round(one, 3) for one in found[:4]] == list(PUBLISHED_BUYING[:4])
    assert round(found.log_likelihood, 1) == PUBLISHED_BUYING.log_likelihood


def test_the_unit_of_time_changes_nothing_but_alpha() -> None:
    weeks = bg_nbd.fit(HISTORIES)
    days = bg_nbd.fit(Histories(HISTORIES.x, HISTORIES.t_x * 7, HISTORIES.t * 7))
    assert days[:4] == pytest.approx((weeks.r, weeks.alpha * 7, weeks.a, weeks.b), rel=1e-3)


def test_bg_nbd_expects_what_was_published() -> None:
    """The article's example: two repeats, the last after 30.43 of 38.86 weeks, 39 weeks ahead."""
    one = Histories(np.array([2.0]), np.array([30.43]), np.array([38.86]))
    assert bg_nbd.expected(PUBLISHED_BUYING, one, 39.0)[0] == pytest.approx(1.226, abs=1e-3)


def test_expected_purchases_are_an_integral_over_time() -> None:
    """More time, more purchases; none ahead, none; and a near 1 is no hole."""
    one = Histories(np.array([2.0, 0.0]), np.array([30.43, 0.0]), np.array([38.86, 20.0]))
    before = bg_nbd.expected(PUBLISHED_BUYING, one, 0.0)
    assert before == pytest.approx([0, 0], abs=1e-12)
    for weeks in (1.0, 10.0, 100.0):
        after = bg_nbd.expected(PUBLISHED_BUYING, one, weeks)
        assert (after > before).all()
        before = after
    near = [bg_nbd.expected(PUBLISHED_BUYING._replace(a=a), one, 39.0) for a in (0.999, 1, 1.001)]
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-4)


def test_gamma_gamma_finds_the_published_parameters() -> None:
    found = gamma_gamma.fit(CDNOW[:, 0], MEANS)
    assert found[:3] == pytest.approx(PUBLISHED_SPENDING[:3], abs=0.01)


def test_gamma_gamma_shrinks_towards_all() -> None:
    """Who bought nothing again is expected to spend what all do; the more bought, the more own."""
    spent = gamma_gamma.expected(
        PUBLISHED_SPENDING, np.array([0.0, 1.0, 1000.0]), np.array([0.0, 100.0, 100.0])
    )
    p, q, gamma, _ = PUBLISHED_SPENDING
    assert spent[0] == pytest.approx(p * gamma / (q - 1))
    assert spent[0] < spent[1] < spent[2]
    assert spent[2] == pytest.approx(100, abs=0.1)


def test_too_few_members_are_refused() -> None:
    few = Histories(HISTORIES.x[:5], HISTORIES.t_x[:5], HISTORIES.t[:5])
    never = Histories(np.zeros(50), np.zeros(50), np.full(50, 9.0))
    for histories in (few, never):
        with pytest.raises(AnalysisRefused) as refused:
            bg_nbd.fit(histories)
        assert refused.value.code == "too_few_members"
    with pytest.raises(AnalysisRefused) as refused:
        gamma_gamma.fit(np.zeros(50), np.zeros(50))
    assert refused.value.code == "too_few_members"


def test_members_who_are_all_alike_and_have_not_left() -> None:
    """The likeliest lies at infinity: then they go on as they did."""
    weeks = np.linspace(20, 40, 50)
    alike = Histories(np.round(weeks / 2), weeks - 1, weeks)
    found = bg_nbd.fit(alike)
    assert bg_nbd.expected(found, alike, 10.0) == pytest.approx(np.full(50, 5.0), rel=0.05)
    assert bg_nbd.alive(found, alike).min() > 0.95
    spent = np.linspace(99, 101, 50)
    model = gamma_gamma.fit(alike.x, spent)
    assert gamma_gamma.expected(model, alike.x, spent) == pytest.approx(np.full(50, 100), rel=0.01)


def test_the_shoppers_of_the_demo(figures: Figures) -> None:
    """From the half year before, the days bought on in the half year after: right in the sum."""
    half = UNTIL.replace(year=2017, month=7, day=1)
    before = customers(figures.reader, half)
    after = {one.member_id: one for one in customers(figures.reader, half.replace(month=12))}
    predicted = predict(before, (half.replace(month=12) - half).days)
    came = sum(after[one.member_id].repeat_days - one.repeat_days for one in before)
    assert sum(one.days for one in predicted.of_members) == pytest.approx(came, rel=0.2)
    assert np.isfinite([one.value for one in predicted.of_members]).all()
    assert all(0 < one.alive <= 1 for one in predicted.of_members)
    assert all(one.value == one.days * one.per_day for one in predicted.of_members)
    assert isinstance(before[0], Customer)
