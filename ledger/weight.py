"""What an account takes in memory, estimated from what it holds, for the bound of the cache.

An estimate, so that it costs a microsecond: the sizes below are those of CPython's objects, with
what its allocator rounds up. Whoever changes what the account keeps measures them again:
`tests/ledger/test_cold.py` compares the estimate with the memory that accounts do take.
"""

from ledger.core.account import Account

ACCOUNT_BYTES = 2_200
"""An account that holds nothing: its containers, its ids, its place in the cache."""

LOT_BYTES = 420
"""An open lot with its places in the orders in which lots fall due and are drawn."""

TERMS_BYTES = 150
"""What can move the moments of a lot, where any such are known."""

ORDER_BYTES = 140
"""A returnable order beside its packed record: its id, its place, the bytes' header."""

MONTH_BYTES = 180
"""What counts for tiers in one month."""

UNSPENT_BYTES = 60
"""A lot of which points expired unspent: two numbers."""

RECORD_BYTES = 250
"""Any other record: a limit's counter, a reservation, a reward, a redemption, a condition."""

DRAW_BYTES = 300
"""A lot as it was when a redemption drew on it."""

HELD_BYTES = 100
"""What a reservation holds of a lot: two numbers."""

WAITING_BYTES = 1_000
"""A return that waits for its purchase, with its lines."""


def weight_of(account: Account) -> int:
    """The bytes that the account takes in memory, estimated."""
    records = (
        len(account.used)
        + len(account.reservations)
        + len(account.rewards)
        + len(account.redemptions)
        + len(account.surveys)
        + len(account.profile)
        + len(account.tiers)
        + len(account.merged_from)
        + len(account.welcomes)
        + len(account.overrides)
        + len(account.other_referrals)
    )
    orders = account.orders
    weight = (
        ACCOUNT_BYTES
        + LOT_BYTES * len(account.holdings.lots)
        + ORDER_BYTES * len(orders)
        + sum(map(len, orders.values()))
        + MONTH_BYTES * len(account.months)
        + UNSPENT_BYTES * len(account.expired_unspent)
        + RECORD_BYTES * records
    )
    if account.holdings.awaits or account.holdings.idle:
        weight += TERMS_BYTES * len(account.holdings.lots)
    if account.redemptions:
        weight += DRAW_BYTES * sum(len(one.draws) for one in account.redemptions.values())
    if account.reservations:
        weight += HELD_BYTES * sum(len(one.draws) for one in account.reservations.values())
    if account.waiting:
        weight += WAITING_BYTES * sum(map(len, account.waiting.values()))
    return weight
