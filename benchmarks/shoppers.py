"""Purchases like those of the demo's grocer, made by arithmetic: the same in every run.

Nine lines of about three dollars, of which one is fresh produce (two rules of the demo's program
fire); each shopper comes at a steady pace. They are made as the bytes that a till would send.
"""

from importlib.resources import files
from random import Random

import msgspec

from ledger.core.calendar import format_instant
from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from schemas.fields import Instant

LINES = 9
"""Lines of a purchase, as the demo's data has on average."""

AMOUNT_MAX = 600
"""Largest amount of a line, minor units: on average 3 dollars, as in the demo's data."""

DAY: Instant = 86_400_000_000
"""A day in microseconds."""

_CATEGORIES = ("PRODUCE", "DRUG GM", "MEAT", "DELI") + 5 * ("GROCERY",)


def program() -> Program:
    """The demo's program."""
    return load_program(
        (files("demo") / "program.yaml").read_text(encoding="utf-8"), "program.yaml"
    )


def members(count: int) -> list[str]:
    """So many ids."""
    return [f"m-{number:06}" for number in range(1, count + 1)]


def record(
    member: str, number: int, at: Instant, lines: int = LINES, amount: int = AMOUNT_MAX
) -> bytes:
    """The value of the record of the member's `number`th purchase; `amount`: most of a line."""
    random = Random(f"{member}/{number}")
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"purchase-{member}-{number}",
            "source": "/benchmarks",
            "type": "purchase.completed.v1",
            "subject": member,
            "time": format_instant(at),
            "data": {
                "order_id": f"{member}-{number}",
                "store_id": "367",
                "channel": "store",
                "currency": "USD",
                "lines": [
                    {
                        "line_id": str(line + 1),
                        "sku": str(random.randrange(100_000, 10_000_000)),
                        "category": _CATEGORIES[line % len(_CATEGORIES)],
                        "brand": random.choice(("National", "Private")),
                        "quantity": random.choice((1, 1, 1, 2)),
                        "amount": random.randint(1, amount),
                    }
                    for line in range(lines)
                ],
            },
        }
    )
