"""A basket as a till has it, and what of it the server is told."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Line:
    """One line of a receipt. `amount`: minor units after discounts, tax included."""

    line_id: str
    sku: str
    amount: int
    quantity: Decimal | int = 1
    category: str | None = None
    brand: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The line of a purchase."""
        found: dict[str, Any] = {"line_id": self.line_id, "sku": self.sku, "amount": self.amount}
        if self.quantity != 1:
            found["quantity"] = str(self.quantity)
        if self.category is not None:
            found["category"] = self.category
        if self.brand is not None:
            found["brand"] = self.brand
        return found


@dataclass(frozen=True)
class Basket:
    """What is bought, where and how."""

    store_id: str
    channel: str
    currency: str
    lines: Sequence[Line]
    region: str | None = None
    payment_type: str | None = None
    partner_id: str | None = None
    promo_codes: Sequence[str] = ()

    @property
    def amount(self) -> int:
        """What it costs, in minor units."""
        return sum(line.amount for line in self.lines)

    def less(self, amount: int, excluded: Collection[str] = ()) -> "Basket":
        """The basket as it is paid in money when points pay `amount` of it: shared among the lines
        in proportion to their amounts, by largest remainder (ties: the earlier line), as the ledger
        allocates points. `excluded`: categories for which points do not pay, as the preview tells
        them; their lines stay as they are. What points paid earns nothing. Raises ValueError for
        more than the other lines cost."""
        costs = [0 if line.category in excluded else line.amount for line in self.lines]
        total = sum(costs)
        if not 0 <= amount <= total:
            raise ValueError(f"{amount} is not between 0 and {total}, what points may pay for")
        paid = [amount * cost // total if total else 0 for cost in costs]
        rests = [-(amount * cost % total) if total else 0 for cost in costs]
        for place in sorted(range(len(costs)), key=rests.__getitem__)[: amount - sum(paid)]:
            paid[place] += 1
        lines = [
            replace(line, amount=line.amount - part)
            for line, part in zip(self.lines, paid, strict=True)
        ]
        return replace(self, lines=lines)

    def as_json(self) -> dict[str, Any]:
        """The basket of a preview, or of a purchase."""
        found: dict[str, Any] = {
            "store_id": self.store_id,
            "channel": self.channel,
            "currency": self.currency,
            "lines": [line.as_json() for line in self.lines],
        }
        for name in ("region", "payment_type", "partner_id"):
            if getattr(self, name) is not None:
                found[name] = getattr(self, name)
        if self.promo_codes:
            found["promo_codes"] = list(self.promo_codes)
        return found

    def for_points(self) -> list[dict[str, Any]]:
        """The basket of a reservation or a redemption: what points are to pay for."""
        return [
            {"amount": line.amount} | ({} if line.category is None else {"category": line.category})
            for line in self.lines
        ]
