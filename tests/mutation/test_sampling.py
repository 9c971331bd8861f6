"""The sample of mutants: drawn again alike, every file in it, in proportion."""

import pytest

from tests.mutation.sampling import interval, sample, shares

SIZES = {"a": 100, "b": 50, "c": 7, "d": 1}
STRATA = {name: [f"{name}{n}" for n in range(size)] for name, size in SIZES.items()}


def test_the_same_seed_draws_the_same() -> None:
    assert sample(STRATA, 30, 1) == sample(STRATA, 30, 1) != sample(STRATA, 30, 2)


def test_another_file_does_not_change_what_is_drawn_of_one() -> None:
    one = [each for each in sample(STRATA, 79, 1) if each.startswith("a")]
    assert sample({"a": STRATA["a"]}, len(one), 1) == one


@pytest.mark.parametrize("wanted", [4, 30, 79, 157, 158, 1000])
def test_shares_are_in_proportion_and_leave_no_file_out(wanted: int) -> None:
    found = shares(SIZES, wanted)
    assert all(1 <= found[name] <= size for name, size in SIZES.items())
    assert abs(sum(found.values()) - min(wanted, 158)) <= 3
    for name, size in SIZES.items():
        assert abs(found[name] - min(wanted, 158) * size / 158) <= 1


def test_the_interval_is_wilson_s() -> None:
    low, high = interval(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert interval(0, 0) == (0.0, 1.0)
    assert interval(10, 10)[1] == pytest.approx(1.0)
