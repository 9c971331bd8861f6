"""Forgetting: what no later decision can ask for leaves the account's state.

A function of the state alone, so that folding the log again forgets the same. Everything is kept a
while longer than it counts (`LATE_KEPT_US`), for inputs that arrive late; one that is later still
finds its limit windows unused and its order no longer returnable.
"""

from ledger.core.account import Account
from ledger.core.calendar import DAY_US
from ledger.core.overrides import forget_overrides
from ledger.core.records import Redemption, Reward, returnable_until, unpack
from schemas.fields import Instant

LATE_KEPT_US = 35 * DAY_US
"""How long orders, rewards and redemptions are kept beyond their return window: a return that
happened in time may arrive a month late."""

COUNTER_KEPT_US = 366 * DAY_US + LATE_KEPT_US
"""How long a limit counter is kept after its last use: its window, at most a year, and the same."""

TIERS_KEPT_US = 3 * COUNTER_KEPT_US
"""How long tier amounts and changes are kept: a calendar year, the one before and the one in which
a late input may fall."""

LIFETIME = "/lifetime/all"
"""How the key of a counter ends that is never forgotten."""

SPENT_IN = "~spent/day/"
"""How the key of a counter begins that counts what was spent in a day; no rule's id holds `~`. Such
a counter is kept no longer than an input may be late: there is one for each day of spending."""

DAY_KNOWN_US = LATE_KEPT_US - 25 * 3_600_000_000
"""How late an input may be for all to be known that was spent in its day: a day has 25 hours when
the clocks go back, and the use that counts may have been in its first instant."""


def forget_days(account: Account, at: Instant) -> None:
    """Drop the counters of days that ended too long before `at` to be asked for."""
    before = at - LATE_KEPT_US
    used_at = account.used_at
    for key in [key for key in used_at if key.startswith(SPENT_IN) and used_at[key] < before]:
        del used_at[key]
        del account.used[key]


def forget(account: Account) -> None:
    """Drop from the account what is too old to be asked for at its `settled_to`."""
    now = account.settled_to
    if account.orders:
        _forget_orders(account, now - LATE_KEPT_US)
    if account.rewards or account.redemptions:
        _forget_rewards(account, now - LATE_KEPT_US)
    if account.used_at:
        _forget_counters(account, now - COUNTER_KEPT_US)
    before = now - TIERS_KEPT_US
    if account.months and next(iter(account.months)) < before:
        account.months = {m: counted for m, counted in account.months.items() if m >= before}
    if account.overrides:
        forget_overrides(account, before)
    if len(account.tiers) > 1 and account.tiers[1][0] < before:
        account.tiers = account.tiers[1:]  # the new first one tells what was held before


def _forget_orders(account: Account, before: int) -> None:
    orders = account.orders
    while orders:
        order_id = next(iter(orders))
        packed = orders[order_id]
        if returnable_until(packed) >= before:
            break
        del orders[order_id]
        if account.expired_unspent:
            for award in unpack(packed).awards:
                account.expired_unspent.pop(award.lot, None)


def _forget_rewards(account: Account, before: int) -> None:
    rewards = account.rewards
    while rewards:
        source = next(iter(rewards))
        reward: Reward = rewards[source]
        if reward.returnable_until >= before:
            break
        del rewards[source]
        account.expired_unspent.pop(reward.lot, None)
    redemptions = account.redemptions
    while redemptions:
        redemption_id = next(iter(redemptions))
        spent: Redemption = redemptions[redemption_id]
        if spent.returnable_until >= before:
            break
        del redemptions[redemption_id]


def _forget_counters(account: Account, before: int) -> None:
    # A use moves its key to the end (see fold), so the front holds what was used longest ago.
    while account.used_at:
        key = next(iter(account.used_at))
        if account.used_at[key] >= before:
            break
        del account.used_at[key]
        del account.used[key]
