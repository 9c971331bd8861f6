"""A client of the Points Ledger API for tills, web shops and the CRM: sync and async, typed.

    with Client("http://points.example", key) as points:
        told = points.preview("m-1001", basket)
        if told.payable.points:
            points.reserve("m-1001", "r-1", told.payable.points, basket=basket.for_points())
            points.confirm("m-1001", "r-1", order_id="store-12:2026:000123")

Every change carries an Idempotency-Key: one made here, or the caller's own. What the network, a
restart or a crowd breaks off is sent again under the same key, so that nothing is done twice. A
program that must go on after a crash of its own keeps the key and passes it as `key`.
"""

from points_client.aio import AsyncClient
from points_client.answers import (
    Balance,
    Change,
    Event,
    Ingested,
    NotTaken,
    Payable,
    Preview,
    PreviewAward,
    PromoCode,
    Proposal,
    RuleWithout,
)
from points_client.basket import Basket, Line
from points_client.client import Client
from points_client.errors import PointsError, Problem, Unavailable

__all__ = [
    "AsyncClient",
    "Balance",
    "Basket",
    "Change",
    "Client",
    "Event",
    "Ingested",
    "Line",
    "NotTaken",
    "Payable",
    "PointsError",
    "Preview",
    "PreviewAward",
    "Problem",
    "PromoCode",
    "Proposal",
    "RuleWithout",
    "Unavailable",
]
