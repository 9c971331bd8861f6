"""The limits of spending: minimum, step, share of the basket, excluded categories, cap of a day.

Each raises Refused. The day is the local one of the command's `occurred_at`. A reservation counts
in the day in which it was made, for as long as it is held or once it is confirmed; what a cancel, a
lapse or a smaller confirmation gives back counts no more. A later return does not change the count.
What is confirmed meets no minimum and no step: what was reserved did.
"""

from collections.abc import Sequence

from ledger.core.account import Account
from ledger.core.calendar import period_key
from ledger.core.context import Context, Refused
from ledger.core.keep import DAY_KNOWN_US, SPENT_IN
from ledger.core.program.compiled import Compiled
from ledger.core.program.conditions import texts
from ledger.core.program.form import Redemption
from schemas.fields import Instant
from schemas.inputs import BasketLine

PERCENT = 100


def check_amount(context: Context, points: int) -> None:
    """The program's minimum and step."""
    redemption = context.program.form.redemption
    if points < redemption.minimum:
        raise Refused("below_minimum", f"at least {redemption.minimum} points are spent at once")
    if points % redemption.step:
        raise Refused("not_a_step", f"points are spent in steps of {redemption.step}")


def asks_basket(redemption: Redemption) -> bool:
    """Whether a limit looks at what the points are to pay for."""
    return redemption.maximum_share is not None or redemption.excluded_categories is not None


def check_basket(
    context: Context, points: int, basket: Sequence[BasketLine] | None, order_id: str | None = None
) -> None:
    """The share of the basket that points may pay, together with what paid for the same order
    before; lines of excluded categories are no part of it. With categories excluded and no share,
    points pay the rest wholly."""
    redemption = context.program.form.redemption
    if not asks_basket(redemption):
        return
    if basket is None:
        raise Refused("basket_required", "the program limits what points pay: name the basket")
    most = basket_share(redemption, context.program.form.point_value, basket)
    if order_id is not None:
        most = max(most - _paid_for(context, order_id), 0)
    if points > most:
        raise Refused("above_basket_share", f"points pay at most {most} of this basket")


def basket_share(redemption: Redemption, point_value: int, basket: Sequence[BasketLine]) -> int:
    """The points that may pay for a basket by its share and its categories."""
    excluded = texts(redemption.excluded_categories) or ()
    amount = sum([line.amount for line in basket if line.category not in excluded])
    share = redemption.maximum_share
    percent = PERCENT if share is None else share.percent
    return amount * percent // (PERCENT * point_value)


def _paid_for(context: Context, order_id: str) -> int:
    """The points that paid for an order and were not restored."""
    return sum(
        [
            sum([points for _, points in spent.draws]) - spent.restored
            for spent in context.account.redemptions.values()
            if spent.order_id == order_id
        ]
    )


def check_available(context: Context, points: int) -> None:
    """What is available; below zero nothing is."""
    held = context.account.holdings
    available = held.available - held.debt
    if points > available:
        raise Refused("not_enough_points", f"{available} points are available")


def day_counter(context: Context, points: int) -> str | None:
    """The cap of the day; the key of its counter, None where the program has no cap."""
    most = context.program.form.redemption.per_day
    if most is None:
        return None
    if context.late_by > DAY_KNOWN_US:
        raise Refused(
            "day_limit_unknown", "it is so late that what was spent in its day is forgotten"
        )
    key, left = day_left(context.account, context.program, context.at, most)
    if points > left:
        raise Refused("above_day_limit", f"{max(left, 0)} points are left to spend in this day")
    return key


def day_left(account: Account, program: Compiled, at: Instant, most: int) -> tuple[str, int]:
    """The key of the day's counter, and what a cap of `most` points leaves of it."""
    key = SPENT_IN + period_key(at, "day", program.zone)
    return key, most - account.used.get(key, (0, 0))[0]
