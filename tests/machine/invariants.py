"""The numbered invariants of docs/domain.md, recounted from the stored rows alone.

The auditor reads each row as its bytes lie in the log and its payload as plain JSON. It keeps a
book of its own: lots, debt, what an order was awarded and what came back of it. Where an invariant
is about the past (6: nothing recorded changes; 8: folding again gives the same bytes) it is asked
at the end of a history.
"""

import json
from collections import Counter, defaultdict
from hashlib import sha256
from typing import Any

from ledger.accounts import AccountKey
from ledger.chain import genesis
from ledger.core import snapshot
from ledger.core.account import Account, check_invariants
from ledger.core.fold import evolve
from ledger.core.forecast import forecast
from tests.machine.memory import LEDGER_ID, MemoryLedger, Stored, columns, decode

ACCOUNTS = {
    *("issued", "pending", "available", "reserved", "redeemed"),
    *("expired", "revoked", "adjusted", "transferred"),
}
HELD = ("pending", "available", "reserved")

Row = dict[str, Any]

RESTORING = ("PurchaseReturned", "ReservationConfirmed", "PointsRedeemed")
"""Events that may give back what was spent."""


class Book:
    """What one member's postings add up to."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.lots: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.granted: Counter[int] = Counter()
        self.debt = 0
        self.awards: defaultdict[str, list[int]] = defaultdict(list)  # points, by order
        self.taken: Counter[tuple[str, int]] = Counter()
        self.events = 0

    def post(self, postings: list[list[Any]]) -> None:
        assert sum(points for _, points, _, _ in postings) == 0, "1: an event sums to zero"
        for account, points, lot, _ in postings:
            assert account in ACCOUNTS, account
            self.totals[account] += points
            if account == "available" and not lot:
                self.debt -= points
            elif account in HELD:
                self.lots[lot][account] += points
        # What comes from outside into a lot that was not there is what was granted.
        for account, points, lot, _ in postings:
            if account in ("issued", "adjusted", "transferred") and lot and points < 0:
                self.granted[lot] -= points

    def check(self, account: Account) -> None:
        """2, 3: the lots are within what was granted, and the account says the same."""
        held = account.balances()
        left = Counter[str]()
        for number, lot in self.lots.items():
            assert min(lot[name] for name in HELD) >= 0, f"3: lot {number} below 0"
            assert sum(lot.values()) <= self.granted[number], f"3: lot {number} above its grant"
            left.update(lot)
        assert self.debt >= 0, "2: a debt below 0"
        assert (held.available, held.pending, held.reserved) == (
            left["available"] - self.debt,
            left["pending"],
            left["reserved"],
        ), "2: the balances are the lots less the debt"
        assert held.debt == self.debt, "2"
        assert held.expired == self.totals["expired"], "2"
        for name in HELD:
            assert self.totals[name] == left[name] - (self.debt if name == "available" else 0), "2"
        own = {n: (x.pending, x.available, x.reserved) for n, x in account.holdings.lots.items()}
        ours = {n: tuple(x[name] for name in HELD) for n, x in self.lots.items() if any(x.values())}
        assert own == ours, "2: the account's lots are those of its postings"
        assert account.version == self.events


class Auditor:
    """Follows the log of one ledger."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self.books: defaultdict[AccountKey, Book] = defaultdict(Book)
        self.read = dict.fromkeys(ledger.log, 0)
        self.mirrors: dict[AccountKey, Account] = {}

    def look(self) -> None:
        """Everything that was stored since the last look."""
        touched = set()
        for shard, rows in self.ledger.log.items():
            for stored in rows[self.read[shard] :]:
                self.read[shard] += 1
                touched.add(self._row(shard, stored, self.read[shard]))
        for key in touched:
            account = self.ledger.accounts[key]
            check_invariants(account)
            self.books[key].check(account)
            mirror = self.mirrors[key]
            assert snapshot.encode(mirror) == snapshot.encode(account), "8: folded otherwise"
        total: Counter[str] = Counter()
        for book in self.books.values():
            total.update(book.totals)
        assert total["redeemed"] >= 0, "10: more was restored than was spent"
        assert total["transferred"] == 0, "1: what one gives another gets"

    def _row(self, shard: int, stored: Stored, position: int) -> AccountKey:
        before = self.ledger.log[shard][position - 2].link if position > 1 else None
        link = sha256((before or genesis(LEDGER_ID, shard)) + stored.row).digest()
        assert stored.link == link, "7: the chain"
        found = columns(stored.row)
        assert int.from_bytes(found[0], "big", signed=True) == shard
        assert int.from_bytes(found[1], "big") == position, "7: a gap"
        member_id, payload = found[3].decode(), found[-1]
        key = (shard, member_id)  # the anonymous account is one in each shard
        event: Row = json.loads(payload)
        assert event["type"] == found[5].decode()
        book = self.books[key]
        book.events += 1
        assert int.from_bytes(found[4], "big") == book.events, "7: an account's versions"
        book.post(event.get("postings", []))
        self._causes(event)
        self._orders(book, event)
        mirror = self.mirrors.setdefault(key, Account.new(member_id))
        evolve(mirror, decode(payload))
        return key

    def _causes(self, event: Row) -> None:
        """4: points come from an award, an adjustment, a transfer or a restored redemption."""
        into: Counter[str] = Counter()
        for account, points, _, _ in event.get("postings", []):
            if points < 0:
                into[account] -= points
        kind = event["type"]
        awarded = sum(award["points"] for award in event.get("awards", []))
        source = "adjusted" if kind == "PointsAdjusted" else "issued"
        assert into[source] == awarded, "4: what is issued is what was awarded"
        assert source == "adjusted" or not into["adjusted"], "4"
        if into["redeemed"]:  # a confirmation may come after its order had come back
            assert kind in RESTORING, "4: restored for what came back only"
        assert not into["expired"], "4"
        if kind == "PointsAdjusted":
            assert event["actor"], "4: an adjustment names its actor"
            assert event["reason"], "4: and its reason"
        if kind != "AccountSettled":
            assert event["cause"], "4: a decision names its cause"

    def _orders(self, book: Book, event: Row) -> None:
        """10: no more is taken back than was granted, and what is taken is what was posted."""
        kind = event["type"]
        if kind == "AccountAbsorbed":
            # What was taken back of its orders, and what may be, is this account's business now.
            for merged, other in self.books.items():
                if merged[1] == event["merged"]:
                    book.awards |= other.awards
                    book.taken |= other.taken
            for number, granted, *_ in event.get("lots", []):
                book.granted[number] = granted
            # A lot that was spent to nothing may be given back to.
            for spent in event["kept"].get("redemptions", {}).values():
                for draw in spent["draws"]:
                    book.granted[draw["lot"]["number"]] = draw["lot"]["granted"]
        elif kind == "PurchaseRewarded":
            order_id = event["purchase"]["order_id"]
            assert order_id not in book.awards, "5: an order took effect twice"
            book.awards[order_id] = [award["points"] for award in event.get("awards", [])]
        elif kind == "ReferralAccepted" and event.get("awards"):
            book.awards[event["order_id"]] += [award["points"] for award in event["awards"]]
        elif kind == "PurchaseReturned":
            order_id = event["returned"]["order_id"]
            taken = 0
            for clawback in event.get("clawbacks", []):
                place = (order_id, clawback["award"])
                parts = (clawback.get("expired", 0), clawback.get("let_go", 0))
                assert clawback["points"] == clawback["taken"] + sum(parts), "10"
                book.taken[place] += clawback["points"]
                assert book.taken[place] <= book.awards[order_id][clawback["award"]], "10"
                taken += clawback["taken"]
            for welcome in event.get("welcomes", []):
                parts = (welcome.get("expired", 0), welcome.get("let_go", 0))
                assert welcome["points"] == welcome["taken"] + sum(parts), "10"
                taken += welcome["taken"]
            posted = [p for p in event.get("postings", []) if p[0] == "revoked"]
            assert sum(points for _, points, _, _ in posted) == taken, "10: taken is what is posted"

    def close(self) -> None:
        """What is asked at the end: the whole log once more, from its bytes."""
        total: Counter[str] = Counter()
        for book in self.books.values():
            total.update(book.totals)
        assert sum(total.values()) == 0, "1: the whole ledger sums to zero"
        folded: dict[AccountKey, Account] = {}
        # 8: not in the order in which it was written, one shard after the other.
        for shard, rows in reversed(self.ledger.log.items()):
            link = genesis(LEDGER_ID, shard)
            for stored in rows:
                link = sha256(link + stored.row).digest()
                assert link == stored.link, "6: what was recorded has changed"
                found = columns(stored.row)
                member_id = found[3].decode()
                account = folded.setdefault((shard, member_id), Account.new(member_id))
                evolve(account, decode(found[-1]))
        for key, account in folded.items():
            own = self.ledger.accounts[key]
            assert snapshot.encode(account) == snapshot.encode(own), "8"
            programs = self.ledger.programs
            assert forecast(account, programs) == forecast(own, programs), "8"
