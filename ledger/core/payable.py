"""How many points may pay for a basket now: what a redemption of that many meets, turned round."""

from collections.abc import Sequence

from msgspec import Struct

from ledger.core.account import Account
from ledger.core.program.compiled import Compiled
from ledger.core.spending_limits import asks_basket, basket_share, day_left
from schemas.fields import Instant
from schemas.inputs import BasketLine


class Payable(Struct, frozen=True):
    """The most points that would be taken. `limited_by`: what keeps it from being more: the codes
    with which a redemption of more would be refused."""

    points: int
    limited_by: str


def payable(
    account: Account, program: Compiled, at: Instant, basket: Sequence[BasketLine]
) -> Payable:
    """Of an account that is settled to `at`. Never more than the basket costs."""
    if account.status != "open":
        return Payable(0, f"account_{account.status}")
    form = program.form
    redemption, held = form.redemption, account.holdings
    limits = [("not_enough_points", held.available - held.debt)]
    cost = sum([line.amount for line in basket]) // form.point_value
    limits.append(("basket_paid", cost))
    if asks_basket(redemption):
        share = basket_share(redemption, form.point_value, basket)
        limits.append(("above_basket_share", share))
    if redemption.per_day is not None:
        limits.append(("above_day_limit", day_left(account, program, at, redemption.per_day)[1]))
    code, most = min(limits, key=lambda limit: limit[1])
    points = max(most, 0) // redemption.step * redemption.step
    if not points or points < redemption.minimum:
        below = points < most or points > 0
        return Payable(0, "below_minimum" if below else code)
    return Payable(points, code if points == most else "not_a_step")
