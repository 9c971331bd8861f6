"""`points explain` on a ledger written through its own decisions."""

import json
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import explain
from ledger.errors import LedgerError
from tests.projections.conftest import Shop
from tests.projections.log_writer import SHARDS, confirm, day, give_back, purchase, reserve

Points = Callable[..., Result]


@pytest.fixture
def points(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Points:
    """Run a `points` command on the test's ledger; nothing is folded."""
    monkeypatch.setenv("POINTS_DATABASE_URL", shop.url)
    monkeypatch.setenv("POINTS_SHARDS", str(SHARDS))
    monkeypatch.setenv("POINTS_PARTITIONS", "2")
    app = typer.Typer()
    explain.register(app)
    app.callback()(lambda: None)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result

    shop.log.take("anna", purchase("o1", day(0), [20_000], "FRESH"))
    shop.log.take("anna", reserve("r1", day(10), 150))
    shop.log.take("anna", confirm("r1", day(10.01)))
    shop.log.take("anna", give_back("o1", day(20)))
    return run


def test_from_the_log_to_words_and_data(points: Points) -> None:
    text = points("explain", "anna", "--at", "2017-01-15T00:00:00Z").stdout
    assert "Lot 1: 250 points, 1 January 2017, 00:00, for a purchase, order o1 in store 7" in text
    assert "spent (redemption r1): 150 points" in text
    assert "taken back" not in text, "that came later"
    data = json.loads(points("explain", "anna", "--json", "--lang", "ru").stdout)
    assert data["available"] == -150
    for lot in data["lots"]:
        assert sum(lot["went"].values()) == lot["came"]
    assert data["lots"][0]["by"]["position"] == 1
    assert data["lots"][0]["awards"][0]["rule"] == "base"
    assert any("Партия 1" in line["text"] for line in data["words"])


def test_an_order_and_a_lot(points: Points) -> None:
    text = points("explain", "anna", "--order", "o1").stdout
    assert "rule gold-bonus gave nothing: it is for tier gold; the tier was none" in text
    text = points("explain", "anna", "--lot", "1").stdout
    assert "Lot 1" in text
    assert "Lot 2" not in text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nobody",), "unknown_member"),
        (("anna", "--at", "2016-06-01T00:00:00Z"), "unknown_member"),
        (("anna", "--lot", "77"), "unknown_lot"),
        (("anna", "--order", "o77"), "unknown_order"),
        (("anna", "--at", "soon"), "bad_time"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(
    points: Points, arguments: tuple[str, ...], code: str
) -> None:
    with pytest.raises(LedgerError) as caught:
        points("explain", *arguments)
    assert caught.value.code == code
