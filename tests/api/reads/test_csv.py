"""CSV files of figures, whose texts come from purchases as anyone wrote them."""

import csv
import io

from api.fresh import csv_of


def test_a_text_that_would_be_a_formula_stays_text() -> None:
    row = ["=HYPERLINK(x)", "+1", "@SUM", "-2", "north", -3, None]
    table = csv_of(["a", "b", "c", "d", "e", "f", "g"], [row])
    (_, read) = csv.reader(io.StringIO(table.decode()))
    assert read == ["'=HYPERLINK(x)", "'+1", "'@SUM", "'-2", "north", "-3", ""]
