"""The benchmark of answers asks what it says it asks."""

from benchmarks.answers import REPEATS, measure
from tests.projections.conftest import Shop, shop, template
from tests.projections.history import write_history

__all__ = ["shop", "template"]  # fixtures


def test_the_answers_are_measured(shop: Shop) -> None:
    write_history(shop.log, 3, inputs=40)
    found = measure(shop.session)
    assert [figure.name for figure in found.figures] == [
        "as of, median member",
        "explained, median member",
        "as of, busiest member",
        "explained, busiest member",
        "all members as of now, by recorded",
    ]
    assert all(len(figure.runs) == REPEATS for figure in found.figures[:-1])
    assert found.sizes["events of the busiest member"] >= found.sizes["events of the median member"]
    assert found.sizes["events"] > found.sizes["members"] > 1
