"""One history: the same inputs for three ledgers and for the reference model.

The ledgers differ in their scheduler only: one is always on time, one late, one never runs. What
the model says of an input must be what every ledger does, and after it all four agree on everybody.
"""

import json
from typing import Any

from demo.reference import ReferenceProgram
from demo.reference.codes import Generated
from ledger.batch import Stock
from ledger.core.account import Account
from ledger.core.calendar import format_instant
from ledger.core.decide import decide
from ledger.core.promo_codes import check_character
from ledger.core.tick import decide_tick
from ledger.work import Work
from schemas.decisions import Facts, InputForwarded, InputRefused
from schemas.decode import decode_record, instant_of
from schemas.fields import Instant
from schemas.log_events import encode_event
from tests.core.account_tools import at, moment, timeline
from tests.machine.invariants import Auditor
from tests.machine.memory import MemoryLedger

MEMBERS = ("a", "b", "c", "d")

GENERATED = tuple(
    (code + check_character(code), series, member_id, uses)
    for code, series, member_id, uses in (
        ("22222AAAAA222", "letters", None, 1),
        ("33333BBBBB333", "letters", None, 2),
        ("44444CCCCC444", "letters", "a", 1),
        ("55555DDDDD555", "other", None, 1),
    )
)
"""Promo codes: (code, series, whose, how many uses)."""

LOADED = {"film": 2}
"""How many codes of a voucher there are."""

HOUR_US = 3_600_000_000
LATENESS_US = 60 * HOUR_US
"""How late an input may be: the scheduler never settles beyond it."""

AHEAD_US = 24 * 12 * HOUR_US
"""How far ahead all are asked too: what is there by then falls due in one as in the other."""

START: Instant = at("2017-01-01") + LATENESS_US

Event = dict[str, Any]

STANDING = ("open", "frozen")

NOT_TAKEN = tuple(
    f"refused: {code}"
    for code in (
        *(
            "account_erased",
            "account_closed",
            "self_referral",
            "referral_cycle",
            "unknown_reward",
            "referrer_limit",
        ),
    )
)
"""Why a reward may not arrive."""

_FOR_THE_MODEL = {
    "command.reserve.v1": "redemption.reserve.v1",
    "command.confirm.v1": "redemption.confirm.v1",
    "command.cancel.v1": "redemption.cancel.v1",
}

_SAME = {
    "unknown_reservation": "no_reservation",
    "reservation_closed": "no_reservation",
    "unknown_redemption": "no_reservation",
    "redemption_closed": "no_reservation",
}
"""Codes that say the same: the model does not tell a reservation that lapsed from one confirmed."""


class World:
    """`now`: the latest moment so far; `past`: every event that was sent, to be sent again."""

    def __init__(self, document: Event, *later: Event) -> None:
        """`later`: more versions of the program."""
        self.document = document
        self.programs = timeline(*map(json.dumps, (document, *later)))
        self.model = ReferenceProgram(document, *later)
        self.on_time = MemoryLedger(self.programs)
        self.late = MemoryLedger(self.programs)
        self.never = MemoryLedger(self.programs)
        self.ledgers = (self.on_time, self.late, self.never)
        self.auditors = [Auditor(ledger) for ledger in self.ledgers]
        self.now = START
        self.past: list[Event] = []
        self.orders: list[tuple[str, str, dict[str, int]]] = []  # member, order, lines
        self.held: list[tuple[str, str]] = []  # member, reservation
        self.available: dict[str, int] = {}
        self.bought = 0
        self.numbers = 0
        for code, series, member_id, uses in GENERATED:
            self.model.codes[code] = Generated(series, member_id, uses)
        self.model.loaded.update(LOADED)
        for ledger in self.ledgers:
            ledger.segments = self.model.segments  # one read model for all
            for code, series, member_id, uses in GENERATED:
                ledger.add_code(code, series, member_id, uses)
            ledger.stock = {reward: Stock(loaded) for reward, loaded in LOADED.items()}

    def number(self) -> str:
        """The next number for an id."""
        self.numbers += 1
        return str(self.numbers)

    def wait(self, hours: int) -> None:
        """Time passes; a scheduler that is on time does its work."""
        self.now += hours * HOUR_US
        self.on_time.tick_due(self.now - LATENESS_US)

    def send(self, kind: str, member: str | None, data: Event, late: int = 0) -> str:
        """A new input, so many hours late. Returns what became of it."""
        event = {
            "specversion": "1.0",
            "type": kind,
            "source": "machine",
            "id": f"e{self.number()}",
            "time": format_instant(self.now - late * HOUR_US),
            **({"subject": member} if member else {}),
            "data": data,
        }
        self.past.append(event)
        return self.take(event)

    def take(self, event: Event) -> str:
        """An input: every ledger does with it what the model says. Returns what that is."""
        told = self.model.apply(self._for_the_model(event))
        for ledger in self.ledgers:
            found = self._handle(ledger, event)
            assert found == _outcome(told), (event["type"], found, told)
            self._carry(ledger)
        return told

    def _for_the_model(self, event: Event) -> Event:
        kind, data = event["type"], dict(event["data"])
        if not kind.startswith("command."):
            return event
        key = {"idempotency_key": f"{event['source']} {event['id']}"}
        if kind not in _FOR_THE_MODEL:
            return {**event, **key}
        data["redemption_id"] = data.pop("reservation_id")
        if "ttl_seconds" in data:
            data["ttl"] = f"PT{data.pop('ttl_seconds')}S"
        return {**event, "type": _FOR_THE_MODEL[kind], "data": data, **key}

    def _handle(self, ledger: MemoryLedger, event: Event) -> str:
        decoded = decode_record(json.dumps(event).encode())
        before = ledger.account(event.get("subject") or "~anonymous")
        rows = sum(map(len, ledger.log.values()))
        work = ledger.handle(decoded)
        if work.kind in ("duplicate", "dead_lettered"):
            assert sum(map(len, ledger.log.values())) == rows, "5: it took effect again"
        else:
            self._again(ledger, before, decoded, work)
        return _found(work)

    def _again(self, ledger: MemoryLedger, before: Account, decoded: Any, work: Work) -> None:
        """9: deciding again, with the facts that lie on the event, gives the same bytes."""
        decision = work.events[work.decisive]
        if isinstance(decision, InputRefused | InputForwarded):
            return  # a refusal does not tell the facts that it used; the other decided elsewhere
        facts = getattr(decision, "facts", None) or Facts()
        again = decide(before.fork(), decoded, instant_of(decoded), ledger.programs, facts)
        assert [*map(encode_event, again)] == [*map(encode_event, work.events)], "9"

    def _carry(self, ledger: MemoryLedger) -> None:
        """Effects travel to their account, and each of them twice."""
        while ledger.sent:
            shard, position, n, effect = ledger.sent.pop(0)
            event = {
                "specversion": "1.0",
                "type": effect.type,
                "source": "points-ledger",
                "id": f"{shard}:{position}:{n}",
                "time": format_instant(effect.occurred_at),
                "subject": effect.target,
                "data": json.loads(bytes(effect.data)),
            }
            found = self._handle(ledger, event)
            assert found in ("applied", *NOT_TAKEN), found
            assert self._handle(ledger, event) == "duplicate"

    # --- what may happen

    def part_of(self, member: str, percent: int) -> int:
        """So much of what the member can spend; in whole steps, if there are any; at least 1."""
        amount = max(0, self.available.get(member, 0)) * percent // 100
        step = self.model.versions.at(moment(self.now)).step
        return max(1, amount - amount % step)

    @property
    def rich(self) -> list[str]:
        """Who had points to spend when all were asked last."""
        return [member for member, points in self.available.items() if points > 1]

    def is_frozen(self, member: str) -> bool:
        """Whether the account is frozen."""
        known = self.model.members.get(member)
        return known is not None and known.status == "frozen"

    def standing(self) -> int:
        """How many members still take part."""
        ended = [one for one in self.model.members.values() if one.status not in STANDING]
        return len(MEMBERS) - len(ended)

    def late_tick(self, member: str, hours: int) -> None:
        """A scheduler that is behind looks after one account."""
        self.late.tick(member, self.now - LATENESS_US - hours * HOUR_US)

    def buy(self, member: str | None, basket: Event, late: int) -> None:
        """A purchase; its lines are numbered 1, 2, 3 …"""
        self.bought += 1
        order_id = f"o{self.bought}"
        lines = [{"line_id": str(n), **line} for n, line in enumerate(basket["lines"], 1)]
        data = {**basket, "order_id": order_id, "currency": "RUB", "lines": lines}
        if member is None:
            self.anonymous(data)
            return
        self.orders.append((member, order_id, {x["line_id"]: x["amount"] for x in lines}))
        self.send("purchase.completed.v1", member, data, late)

    def anonymous(self, data: Event) -> None:
        """A purchase of nobody: recorded, and nothing else."""
        event = {
            "specversion": "1.0",
            "type": "purchase.completed.v1",
            "source": "machine",
            "id": f"e{self.number()}",
            "time": format_instant(self.now),
            "data": data,
        }
        for ledger in self.ledgers:
            assert self._handle(ledger, event) == "applied"
            assert self._handle(ledger, event) == "duplicate"

    def give_back(
        self, member: str, order_id: str, lines: dict[str, int] | None, late: int
    ) -> None:
        """A return of some lines (line_id → amount), or of the whole order."""
        data: Event = {"order_id": order_id, "return_id": f"r{self.number()}"}
        if lines is not None:
            data["lines"] = [{"line_id": n, "amount": amount} for n, amount in lines.items()]
        self.send("purchase.returned.v1", member, data, late)

    def reserve(
        self, member: str, points: int, ttl: int | None, basket: list[Event] | None = None
    ) -> str:
        """Hold points; the reservation's name."""
        name = f"h{self.number()}"
        self.held.append((member, name))
        more: Event = {} if ttl is None else {"ttl_seconds": ttl}
        if basket is not None:
            more["basket"] = basket
        data = {"reservation_id": name, "points": points, **more}
        self.send("command.reserve.v1", member, data)
        return name

    def finish(self, kind: str, member: str, name: str, points: int | None, late: int) -> None:
        """Confirm or cancel a reservation."""
        more = {} if points is None else {"points": points}
        self.send(f"command.{kind}.v1", member, {"reservation_id": name, **more}, late)

    # --- what must hold

    def agree(self) -> None:
        """The model and every ledger say the same of every member, now."""
        for member in MEMBERS:
            states = [self._settled(ledger, member, self.now) for ledger in self.ledgers]
            for state in states[1:]:
                assert _timely(state) == _timely(states[0]), f"11: {member}"
            if member not in self.model.members:
                assert not states[0].version, member
                continue
            self.available[member] = self._agree_on(member, states[0], self.now)
            later = self.now + AHEAD_US  # what is there also expires, activates, falls alike
            self._agree_on(member, self._settled(self.never, member, later), later)
            known = self.model.members[member]
            if known.status in STANDING:
                assert states[0].purchases == len(known.orders), member

    def _agree_on(self, member: str, account: Account, when: Instant) -> int:
        held = account.balances()
        found = {
            "available": held.available,
            "pending": held.pending,
            "reserved": held.reserved,
            "expired": held.expired,
            "granted": held.granted,
            "debt": held.debt,
            "tier": account.tier,
        }
        told = self.model.state(member, moment(when))
        assert found == told, (member, found, told)
        return held.available

    def _settled(self, ledger: MemoryLedger, member: str, when: Instant) -> Account:
        account = ledger.account(member).fork()
        decide_tick(account, when, self.programs)
        return account

    def audit(self) -> None:
        """What each ledger has stored is sound."""
        for auditor in self.auditors:
            auditor.look()

    def close(self) -> None:
        """Nothing that was recorded has changed, and folding it again is the same."""
        for auditor in self.auditors:
            auditor.close()


def _timely(account: Account) -> tuple[object, ...]:
    """What a scheduler must not change; when an order or an old counter is forgotten depends on who
    looks."""
    return (
        account.holdings,
        account.tiers,
        account.reservations,
        account.waiting,
        account.referral,
        account.lifetime,
        account.status,
    )


def _outcome(told: str) -> str:
    """What the model said, in the words of `_found`."""
    if told == "conflict":
        return "dead_lettered: conflict"
    kind, _, code = told.rstrip(")").partition("(")
    return f"{kind}: {_SAME.get(code, code)}" if code else kind


def _found(work: Work) -> str:
    assert work.kind is not None
    if work.problem is None:
        return work.kind
    return f"{work.kind}: {_SAME.get(work.problem.code, work.problem.code)}"
