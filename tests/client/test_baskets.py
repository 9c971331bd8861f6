"""What is left to pay in money when points pay a part of a basket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from points_client import Basket, Line

CATEGORIES = ("food", "alcohol", None)


def basket(*lines: tuple[int, str | None]) -> Basket:
    made = [
        Line(str(n), "x", amount, category=category) for n, (amount, category) in enumerate(lines)
    ]
    return Basket("s1", "store", "USD", made)


def amounts(of: Basket) -> list[int]:
    return [line.amount for line in of.lines]


def test_points_are_shared_among_the_lines() -> None:
    paid = basket((100, "food"), (200, None), (0, None), (301, "food")).less(60)
    assert amounts(paid) == [90, 180, 0, 271]


def test_the_earlier_line_gets_what_is_left_over() -> None:
    assert amounts(basket((10, None), (10, None), (10, None)).less(2)) == [9, 9, 10]


def test_points_do_not_pay_for_an_excluded_category() -> None:
    whole = basket((500, "alcohol"), (300, "food"), (100, None))
    assert amounts(whole.less(200, ["alcohol"])) == [500, 150, 50]
    assert amounts(whole.less(400, ["alcohol"])) == [500, 0, 0]
    with pytest.raises(ValueError, match="between 0 and 400"):
        whole.less(401, ["alcohol"])
    with pytest.raises(ValueError, match="between"):
        whole.less(-1)
    assert basket((5, "alcohol")).less(0, ["alcohol"]) == basket((5, "alcohol"))


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(CATEGORIES)), max_size=9),
    st.sets(st.sampled_from(["food", "alcohol"])),
    st.integers(0, 10**6),
)
def test_it_adds_up(lines: list[tuple[int, str | None]], excluded: set[str], share: int) -> None:
    whole = basket(*lines)
    may = sum(amount for amount, category in lines if category not in excluded)
    amount = may * share // 10**6
    left = whole.less(amount, excluded)
    assert left.amount == whole.amount - amount
    for before, after in zip(whole.lines, left.lines, strict=True):
        paid = before.amount - after.amount
        assert 0 <= paid <= before.amount
        if before.category in excluded:
            assert not paid
        else:
            assert abs(paid * may - amount * before.amount) < max(may, 1), "its share"
