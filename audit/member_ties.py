"""Who brought a member in and whom the member brought in, and which promo codes the member used."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from audit.member_log import Recorded
from ledger.core.account import Account
from ledger.core.calendar import from_instant
from ledger.core.fold import evolve
from schemas.decisions import (
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    RewardReceived,
    RewardTakenBack,
)


class BroughtInBy(Struct, frozen=True):
    """The member's own referral. `status`: open, qualified, closed or taken_back; `order_id`: the
    purchase that qualified."""

    referrer_id: str
    code: str
    at: datetime
    status: str
    order_id: str | None


class BroughtIn(Struct):
    """A reward for somebody whom the member brought in. `taken_back`: points of it that are gone
    again."""

    referee_id: str
    order_id: str
    at: datetime
    points: int
    taken_back: int = 0


class Referrals(Struct):
    """A member's referrals, by the member's own log: who brought in is told of once rewarded."""

    brought_in_by: BroughtInBy | None
    rewards: list[BroughtIn]


def referrals(member_id: str, log: Iterable[Recorded]) -> Referrals:
    """`log`: the member's events in order. Raises InvariantBroken."""
    account, code = Account.new(member_id), ""
    rewards: dict[tuple[str, str], BroughtIn] = {}
    for each in log:
        event = each.event
        if isinstance(event, ReferralAccepted):
            code = event.code
        elif isinstance(event, RewardReceived):
            name = (event.referee_id, event.order_id)
            one = rewards.setdefault(name, BroughtIn(*name, from_instant(event.occurred_at), 0))
            one.points += sum(award.points for award in event.awards)
        elif isinstance(event, RewardTakenBack):
            taken = rewards.get((event.referee_id, event.order_id))
            if taken is not None:
                taken.taken_back += sum(clawback.points for clawback in event.clawbacks)
        evolve(account, event)
    found = account.referral
    own = None
    if found is not None and found.referee_id is None:
        own = BroughtInBy(
            found.referrer_id, code, from_instant(found.at), found.status, found.order_id
        )
    return Referrals(own, list(rewards.values()))


class CodeUsed(Struct, frozen=True):
    """A promo code that a purchase named. `text`: as it was named; `status`: ok, or why it did not
    count (unknown, spent, expired, not_yet, not_yours, used_by_member); `used`: its use counts,
    and was not given back by a return."""

    order_id: str
    at: datetime
    text: str
    series: str
    status: str
    used: bool


def codes_used(log: Iterable[Recorded]) -> list[CodeUsed]:
    """The promo codes that the member's purchases named, newest first."""
    found: dict[tuple[str, int], CodeUsed] = {}
    back: dict[str, set[str]] = {}
    counted: dict[str, set[str]] = {}
    for each in log:
        event = each.event
        if isinstance(event, PurchaseRewarded):
            order_id = event.purchase.order_id
            facts = () if event.facts is None else event.facts.codes
            known = {fact.place: fact for fact in facts}
            counted[order_id] = {use.series for use in event.codes}
            for place, text in enumerate(event.purchase.promo_codes):
                fact = known.get(place)
                found[order_id, place] = CodeUsed(
                    order_id,
                    from_instant(event.occurred_at),
                    text,
                    "" if fact is None else fact.series,
                    "unknown" if fact is None else fact.status,
                    False,
                )
        elif isinstance(event, PurchaseReturned):
            uses = back.setdefault(event.returned.order_id, set())
            uses.update(use.series for use in event.codes)
    told = []
    for (order_id, _), one in reversed(found.items()):
        used = one.series in counted[order_id] and one.series not in back.get(order_id, ())
        told.append(CodeUsed(one.order_id, one.at, one.text, one.series, one.status, used=used))
    return told
