"""Small changes that several kinds of event share: tier amounts, limit counters, expiries."""

from collections.abc import Iterable

from ledger.core.account import Account
from ledger.core.keep import LIFETIME
from schemas.decisions import Award
from schemas.fields import Instant


def count(account: Account, month: Instant, amount: int, points: int, purchases: int) -> None:
    """Count for tiers, in a month and over all time."""
    old = account.months.get(month, (0, 0, 0))
    account.months[month] = (old[0] + amount, old[1] + points, old[2] + purchases)
    all_time = account.lifetime
    account.lifetime = (all_time[0] + amount, all_time[1] + points, all_time[2] + purchases)


def use(account: Account, awards: Iterable[Award], at: Instant) -> None:
    """Use up the limits that the awards count against."""
    for award in awards:
        for key in award.counters:
            points, times = account.used.get(key, (0, 0))
            account.used[key] = (points + award.points, times + 1)
            if not key.endswith(LIFETIME):
                account.used_at.pop(key, None)
                account.used_at[key] = at


def give_back(account: Account, counters: tuple[tuple[str, int, int], ...]) -> None:
    """Give limits back, as (key, points, times)."""
    for key, points, times in counters:
        if key in account.used:  # else its window is long over
            had_points, had_times = account.used[key]
            account.used[key] = (had_points - points, had_times - times)


def expire_at(account: Account, expiries: tuple[tuple[int, Instant | None], ...]) -> None:
    """Let lots expire at other moments."""
    for lot, expires_at in expiries:
        account.holdings.set_expiry(lot, expires_at)
