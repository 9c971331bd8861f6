"""Which version is in force when."""

import pytest

from ledger.core.program.timeline import NoProgram, Timeline
from tests.core.program_texts import program_of

RULE = "- {id: base, award: {fixed: %d}}\n"
ONE, TWO, THREE = (program_of(RULE % n) for n in (1, 2, 3))


def test_a_version_is_in_force_from_its_moment_until_the_next() -> None:
    timeline = Timeline([(100, ONE), (200, TWO)])
    assert timeline.at(100) is ONE
    assert timeline.at(199) is ONE
    assert timeline.at(200) is TWO
    assert timeline.next_change_after(99) == 100
    assert timeline.next_change_after(100) == 200
    assert timeline.next_change_after(200) is None
    assert not timeline.empty


def test_the_order_of_publishing_does_not_matter_but_for_one_moment() -> None:
    timeline = Timeline([(200, TWO), (100, ONE), (200, THREE)])
    assert timeline.at(150) is ONE
    assert timeline.at(200) is THREE
    assert [start for start, _ in timeline.versions] == [100, 200]


def test_before_the_first_there_is_none() -> None:
    with pytest.raises(NoProgram, match="the first takes effect at 1970"):
        Timeline([(100, ONE)]).at(99)
    with pytest.raises(NoProgram, match="none has been published"):
        Timeline().at(0)
    assert Timeline().empty
    assert Timeline().next_change_after(0) is None
