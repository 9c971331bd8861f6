"""Inputs that concern more accounts than the one they name: what merges have linked.

A merged account passes its inputs on, a command may name two members, and an order may have been
taken under the id of any member who is now one account. Most batches hold none of these
(`Batch.linked`), and then nobody asks here.
"""

from collections import defaultdict
from collections.abc import Set

from ledger.accounts import AccountKey
from ledger.batch import Batch
from ledger.dedupe import purchase_key
from ledger.lookups import InputKey
from ledger.work import NO_SHARD, Work
from schemas.inputs import AccountMerge, PurchaseReturned


def with_linked(batch: Batch, moved: Set[int]) -> set[int]:
    """The shards that have to be decided again together with `moved`: an input on two accounts
    is decided on both or on none, and what one shard leaves of a promo code is for the next."""
    found = set(moved)
    pairs = [] if batch.codes is None else batch.codes.shared()
    if batch.linked:
        pairs += [
            work.shards
            for work in batch.works
            if (work.also or work.parts) and work.shard != NO_SHARD
        ]
    while pairs:
        touched = [shards for shards in pairs if not found.isdisjoint(shards)]
        if not touched:
            break
        pairs = [shards for shards in pairs if found.isdisjoint(shards)]
        found = found.union(*touched)
    return found


def followed(batch: Batch) -> list[AccountKey]:
    """The accounts that inputs are forwarded to by those that were merged, one step of the way:
    those not known yet, or not as of a head. Their shards are needed too from now on."""
    found: dict[AccountKey, None] = {}
    for work in batch.works:
        place = (work.shard, work.member_id)
        base = batch.bases.get(place)
        while base is not None and base.account.merged_into is not None:
            place = batch.place_of(base.account.merged_into)
            batch.linked = True
            if place[0] not in work.also:
                work.also = (*work.also, place[0])
            base = batch.bases.get(place) if place[0] in batch.based_on else None
            if base is None:
                found[place] = None
    return list(found)


def may_decide(batch: Batch, work: Work) -> list[str]:
    """The members whose account may come to decide on the input: the one that it names and, if
    that one was merged or is within this batch, those that it is passed on to."""
    if not batch.linked:
        return [work.member_id]
    starts = [work.member_id]
    starts += [w.item.event.data.into for w in batch.of_types(AccountMerge)
               if isinstance(w.item.event, AccountMerge)]  # fmt: skip
    found: dict[str, None] = {}
    for member_id in starts:
        found[member_id] = None
        base = batch.bases.get(batch.place_of(member_id))
        while base is not None and base.account.merged_into is not None:
            found[base.account.merged_into] = None
            base = batch.bases.get(batch.place_of(base.account.merged_into))
    return list(found)


def other_keys(batch: Batch, shards: Set[int]) -> dict[int, list[bytes]]:
    """The dedupe keys under which the purchases that returns name may have been taken, beside
    those of the members whom they name; by shard. Whoever is merged within this batch may be a
    buyer too: which account then decides is not known yet."""
    keys: defaultdict[int, list[bytes]] = defaultdict(list)
    merging: dict[str, None] = {}
    for work in batch.of_types(AccountMerge):
        base = batch.bases.get((work.shard, work.member_id))
        merged = () if base is None else base.account.merged_from
        merging |= dict.fromkeys((work.member_id, *merged))
    for work in batch.of_types(PurchaseReturned):
        place = (work.shard, work.member_id)
        if work.shard in shards and place in batch.bases:
            assert isinstance(work.item.event, PurchaseReturned)
            order_id = work.item.event.data.order_id
            for shard, key in order_places(batch, work, order_id)[1:]:
                keys[shard].append(key)
            for member_id in merging:
                keys[batch.place_of(member_id)[0]].append(purchase_key(member_id, order_id))
    return keys


def order_places(batch: Batch, work: Work, order_id: str) -> list[InputKey]:
    """Under which keys the purchase of an order may have been taken: each member whose account
    is now the one that decides on `work` may have been its buyer."""
    members, place = [work.member_id], (work.shard, work.member_id)
    account = batch.known(place)
    while account.merged_into is not None:
        place = batch.place_of(account.merged_into)
        members.append(place[1])
        account = batch.known(place)
    for member_id in account.merged_from:
        if member_id not in members:
            members.append(member_id)
    return [(batch.place_of(m)[0], purchase_key(m, order_id)) for m in members]
