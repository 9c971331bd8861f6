"""Constrained field types that every contract is built from.

The bounds are those of the log's storage (PostgreSQL text holds no NUL, integers are 64 bit), so
that whatever validates here can be stored: a record is refused at the door or not at all.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

AMOUNT_MAX = 10**12
"""Largest amount of one line, in minor units: far above any basket, far below 2**63 when summed."""

LINES_MAX = 1_000
"""Most lines of one purchase: the longest real baskets have some hundreds."""

QUANTITY_MAX = Decimal(10**9)
"""Largest quantity of one line, in units or kilograms."""

QUANTITY_PLACES = 3
"""Most decimal places of a quantity: grams of a kilogram."""

ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$(?!\n)"
"""What an id looks like. Python's `$` also matches before a final newline: `(?!\\n)` refuses it."""

Id = Annotated[
    str,
    Meta(
        pattern=ID_PATTERN,
        description="An opaque identifier. No blanks and no @, which keeps e-mail addresses out.",
    ),
]
MemberId = Annotated[
    str,
    Meta(
        pattern=ID_PATTERN,
        description="The opaque id of a member; personal data lives elsewhere.",
    ),
]
Text = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        description="A short text without NUL.",
        extra_json_schema={"pattern": r"^[^\u0000]*$"},
    ),
]
Quantity = Annotated[
    Decimal,
    Meta(
        description="A decimal of at most three places, as a JSON number or a string.",
        extra_json_schema={
            "minimum": 0,
            "maximum": int(QUANTITY_MAX),
            "pattern": r"^[0-9]{1,10}(\.[0-9]{1,3})?$(?!\n)",
        },
    ),
]
AmountMinor = Annotated[
    int, Meta(ge=0, le=AMOUNT_MAX, description="Money in the currency's minor unit (cents).")
]
PointsCount = Annotated[
    int, Meta(ge=1, le=AMOUNT_MAX, description="Points in the program's smallest unit.")
]
PointsChange = Annotated[
    int,
    Meta(
        ge=-AMOUNT_MAX,
        le=AMOUNT_MAX,
        description="Points given, or below 0 taken; never 0.",
        extra_json_schema={"not": {"const": 0}},
    ),
]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217 code.")]
Time = Annotated[
    datetime, Meta(tz=True, description="RFC 3339 with an offset: when it happened in the world.")
]

Instant = int
"""Microseconds since 1970-01-01T00:00:00Z: the form of every moment inside the ledger."""
