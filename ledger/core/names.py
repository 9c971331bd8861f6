"""Under which name an account knows a reservation or redemption that an input names.

Clients number them as they like, each member's for itself, and accounts are merged: what was made
for a member whose account went over is known as `MEMBER/ID`, so that no two are mixed up, and so is
what is made for that member later. No id holds a slash.
"""

from ledger.core.account import Account


def own_name(name: str, addressed: str) -> str:
    """The name of what an input makes. `addressed`: the merged member whom it names, or ""."""
    return f"{addressed}/{name}" if addressed else name


def moved_name(name: str, member_id: str) -> str:
    """The name in the account that `member_id`'s goes over into."""
    return name if "/" in name else own_name(name, member_id)


def known_name(account: Account, name: str, addressed: str) -> str:
    """The name of what an input means: of the member whom it names. The member whose account stays
    may mean what only one of those merged into it has."""
    own = own_name(name, addressed)
    if addressed or not account.merged_from or _knows(account, own):
        return own
    found = [
        moved for member in account.merged_from if _knows(account, moved := own_name(name, member))
    ]
    return found[0] if len(found) == 1 else own


def _knows(account: Account, name: str) -> bool:
    return name in account.reservations or name in account.redemptions
