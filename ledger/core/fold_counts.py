"""Changes that several kinds of event share: grants, tier amounts, limit counters, expiries."""

from collections.abc import Iterable, Sequence

from ledger.core.account import Account
from ledger.core.errors import InvariantBroken
from ledger.core.grants import WELCOME, new_lots, source_of
from ledger.core.keep import LIFETIME, forget_days
from ledger.core.records import Welcome
from schemas.decisions import Award, Posting
from schemas.fields import Instant


def grant(
    account: Account, awards: Iterable[Award], postings: Sequence[Posting], source: str
) -> int:
    """Open the awards' lots with what the first postings put into them: for each lot one pair, from
    `issued`. Returns how many postings that were. Raises InvariantBroken (3, 4)."""
    held, applied = account.holdings, 0
    for number, points, award in new_lots(awards, held.next_lot):
        if applied + 2 > len(postings):
            raise InvariantBroken(4, f"lot {number} is awarded and not issued")
        issued, target = postings[applied], postings[applied + 1]
        applied += 2
        if (
            issued.account != "issued"
            or issued.lot != number
            or target.lot != number
            or issued.points != -points
            or target.points != points
        ):
            raise InvariantBroken(4, f"lot {number} of {points} points is issued otherwise")
        held.open(number, points, award, source_of(award, source), target.account)
        if award.kind == WELCOME:
            account.welcomes += (Welcome(award.rule, award.granted_at, points, number),)
    return applied


def count(account: Account, month: Instant, amount: int, points: int, purchases: int) -> None:
    """Count for tiers, in a month and over all time."""
    of_amount, of_points, of_purchases = account.months.get(month, (0, 0, 0))
    account.months[month] = (of_amount + amount, of_points + points, of_purchases + purchases)
    of_amount, of_points, of_purchases = account.lifetime
    account.lifetime = (of_amount + amount, of_points + points, of_purchases + purchases)


def use(account: Account, awards: Iterable[Award], at: Instant) -> None:
    """Use up the limits that the awards count against."""
    for award in awards:
        for key in award.counters:
            points, times = account.used.get(key, (0, 0))
            account.used[key] = (points + award.points, times + 1)
            if not key.endswith(LIFETIME):
                account.used_at.pop(key, None)
                account.used_at[key] = at


def use_day(account: Account, counter: str | None, points: int, at: Instant) -> None:
    """Count spent or held points in their day, where there is a cap."""
    if counter is not None:
        forget_days(account, at)
        had_points, times = account.used.get(counter, (0, 0))
        account.used[counter] = (had_points + points, times + 1)
        account.used_at.pop(counter, None)
        account.used_at[counter] = at


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
