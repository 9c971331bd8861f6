"""Folding an account's standing: frozen, open again, closed, forfeited."""

from msgspec.structs import replace

from ledger.core.account import Account
from schemas.decisions import AccountClosed, AccountFrozen, AccountUnfrozen


def fold_frozen(account: Account, _event: AccountFrozen) -> None:
    """The account earns and cannot spend."""
    account.status = "frozen"


def fold_unfrozen(account: Account, _event: AccountUnfrozen) -> None:
    """The account is as before."""
    account.status = "open"


def fold_closed(account: Account, event: AccountClosed) -> None:
    """The account takes no inputs; its points stay until the notice ends."""
    account.status = "closed"
    account.waiting = {}
    account.forfeits_at = event.forfeits_at
    if event.forfeits_at is None:
        forget_all(account)


def forget_all(account: Account) -> None:
    """No input is taken any more, so nothing that only a later one could ask for is kept."""
    account.forfeits_at = None
    account.reservations = {}
    account.waiting = {}
    account.orders = {}
    account.rewards = {}
    account.redemptions = {}
    account.expired_unspent = {}
    account.used = {}
    account.used_at = {}
    account.other_referrals = ()
    if account.referral is not None and account.referral.status == "open":
        account.referral = replace(account.referral, status="closed")
