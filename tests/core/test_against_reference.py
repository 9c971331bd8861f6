"""The account and the reference model, which share no code, agree after every step.

Random histories of two members who may refer each other: purchases, returns (also before their
purchase), surveys, reservations, late inputs. After each input both are asked for the balances,
what was granted and expired, and the tier, at the latest moment so far.
"""

import json
from typing import Any

from account_tools import Member, at, moment, timeline
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.reference import ReferenceProgram
from ledger.core.decide import decide_tick, outcome_of
from ledger.core.program.timeline import Timeline
from schemas.decisions import AccountEvent, Facts
from schemas.fields import Instant

HOUR_US = 3_600_000_000
STEPS_MAX = 60
"""Long enough to earn, spend, return, expire and lose a tier; short enough to try many."""

SAMPLES = 150
"""Histories per run of the tests; each is a different program too."""

START = "2017-01-01"
MEMBERS = ("a", "b")
AT_THE_DOOR = ("duplicate", "conflict")
"""Outcomes of the input door: the account is never asked."""
CATEGORIES = ("PRODUCE", "MEAT", None)


@st.composite
def programs(draw: st.DrawFn) -> dict[str, Any]:
    """A program of the demo's kinds, with short periods so that a history sees them end."""
    period = draw(st.sampled_from(["calendar_month", "calendar_quarter"]))
    measure = draw(st.sampled_from(["amount_spent", "points_earned", "purchases"]))
    low, high = {"amount_spent": (3000, 8000), "points_earned": (30, 80), "purchases": (2, 5)}[
        measure
    ]
    durations = st.sampled_from(["immediately", {"after": "P3D"}, {"after": "P10D"}])
    expiries = st.sampled_from(
        [{"after": "P9D"}, {"after": "P1M"}, {"end_of": "month", "after": "P10D"}, "never"]
    )
    downgrade = draw(st.sampled_from([{}, {"grace": "P3D"}, {"grace": "P10D"}]))
    kind = draw(st.sampled_from(["first_purchase", "purchase"]))
    returns = draw(
        st.sampled_from(
            [
                {"policy": "debt"},
                {"policy": "debt", "debt_limit": 15},
                {"policy": "within_balance"},
                {"policy": "only_pending"},
            ]
        )
    )
    return {
        "program": "compared",
        "currency": "RUB",
        "time_zone": draw(st.sampled_from(["UTC", "Europe/Berlin"])),
        "effective_from": "2017-01-01T00:00:00Z",
        "point_value": 1,
        "rounding": draw(st.sampled_from(["floor", "half_even", "ceil"])),
        "activation": draw(durations),
        "expiry": draw(expiries),
        "earn": [
            {"id": "base", "award": {"rate": {"points": 1, "per_amount": 100}}},
            {
                "id": "fresh",
                "lines": {"category": ["PRODUCE"]},
                "award": {"rate": {"points": 3, "per_amount": 200}},
                "limits": [{"points": 20, "per": "day"}],
                "counts_for_tier": False,
            },
            {
                "id": "silver-bonus",
                "when": {"tier": "silver"},
                "award": {"multiplier": {"of": "base", "by": "1.2"}},
            },
            {
                "id": "gold-bonus",
                "when": {"tier_at_least": "gold"},
                "award": {"multiplier": {"of": "base", "by": "1.5"}},
                "activation": draw(durations),
            },
            {
                "id": "weekly",
                "when": {"purchase_amount": {"at_least": 500}},
                "award": {"fixed": 5},
                "limits": [{"times": 1, "per": "iso_week"}],
                "expiry": draw(expiries),
            },
        ],
        "tiers": {
            "qualify_by": {measure: {"window": period}},
            "levels": [{"id": "silver", "at_least": low}, {"id": "gold", "at_least": high}],
            "downgrade": downgrade,
        },
        "surveys": [
            {"id": "s", "award": {"fixed": 20}, "activation": "immediately"},
            {"id": "t", "award": {"fixed": 7}},
        ],
        "referral": {
            "qualifies": {kind: {"at_least": 500, "within": "P20D"}},
            "referrer": {"fixed": 10},
            "referee": {"fixed": 5},
        },
        "returns": {**returns, "window": "P1M"},
        "redemption": {
            "minimum": 2,
            "step": 1,
            "reservation_ttl": draw(st.sampled_from(["PT6H", "P4D"])),
            "restore_grace": draw(st.sampled_from(["P0D", "P2D"])),
        },
    }


amounts = st.lists(st.integers(0, 2500), min_size=1, max_size=3)
step = st.tuples(
    st.sampled_from([0, 0, 0, 1]),  # who
    st.one_of(st.integers(0, 20), st.integers(0, 20), st.integers(0, 400)),  # hours passed
    st.sampled_from([0, 0, 0, 0, 0, 0, 2, 10, 30, 60]),  # hours late
    st.one_of(
        st.tuples(st.just("buy"), amounts),
        st.tuples(st.just("buy"), amounts),
        st.tuples(st.just("return"), st.integers(0, 5), st.integers(0, 1500)),
        st.tuples(st.just("return"), st.integers(0, 5), st.none()),
        st.tuples(st.just("return before"), st.integers(0, 3)),
        st.tuples(st.just("survey"), st.sampled_from("stu")),
        st.tuples(st.just("refer")),
        st.tuples(st.just("reserve"), st.integers(1, 25)),
        st.tuples(st.just("checkout"), st.integers(1, 25), amounts),
        st.tuples(st.just("confirm"), st.one_of(st.none(), st.integers(1, 25))),
        st.tuples(st.just("cancel")),
    ),
)
steps = st.one_of(
    st.lists(step, max_size=STEPS_MAX), st.lists(step, min_size=STEPS_MAX // 2, max_size=STEPS_MAX)
)


class Both:
    """The same inputs for the account and for the reference model."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.timeline: Timeline = timeline(json.dumps(document))
        self.reference = ReferenceProgram(document)
        self.ours = {name: Member(self.timeline, name) for name in MEMBERS}
        self.orders: dict[str, list[tuple[str, list[int]]]] = {name: [] for name in MEMBERS}
        self.named: dict[str, str] = {}  # the last reservation of each member
        self.numbers = 0
        self.latest = at(START)

    def number(self) -> str:
        self.numbers += 1
        return str(self.numbers)

    def told(self, who: str, when: Instant, kind: str, data: dict[str, Any]) -> str:
        """Tell the reference model; its outcome without the code."""
        outcome = self.reference.apply(
            {
                "type": kind,
                "source": "test",
                "id": self.number(),
                "time": moment(when).isoformat(),
                "subject": who,
                "data": data,
            }
        )
        return outcome.partition("(")[0]

    def expect(self, outcome: str, events: list[AccountEvent]) -> None:
        assert outcome_of(events) == outcome
        for event in events:
            for effect in event.effects:
                self.ours[effect.target].effect(effect.occurred_at, effect.type, bytes(effect.data))

    def take(self, who: str, when: Instant, step: tuple[Any, ...]) -> None:
        self.latest = max(self.latest, when)
        if step[0] == "buy":
            self.buy(who, when, self.number(), step[1])
        elif step[0] == "return":
            self.give_back(who, when, step[1], step[2])
        elif step[0] == "return before":
            if self.document["returns"]["policy"] == "only_pending":
                return  # the model decides the waiting return before what is due has activated
            # its purchase follows in the same history: the next one gets this number
            order_id = str(self.numbers + 3 + step[1])
            self.returned(who, when, order_id, None)
        elif step[0] == "survey":
            data = {"survey_id": step[1], "completion_id": self.number()}
            outcome = self.told(who, when, "survey.completed.v1", data)
            self.expect(outcome, self.ours[who].survey(when, step[1]))
        elif step[0] == "refer":
            self.refer(who, when, MEMBERS[1 - MEMBERS.index(who)])
        else:
            self.spend(who, when, step)

    def buy(self, who: str, when: Instant, order_id: str, paid: list[int], **more: Any) -> None:
        categories = [CATEGORIES[amount % 3] for amount in paid]
        lines = [
            {"line_id": str(n), "sku": "x", "category": c, "quantity": 1, "amount": amount}
            for n, (amount, c) in enumerate(zip(paid, categories, strict=True), 1)
        ]
        data = {"order_id": order_id, "store_id": "s1", "channel": "store", "lines": lines, **more}
        outcome = self.told(who, when, "purchase.completed.v1", data)
        self.orders[who].append((order_id, paid))
        self.expect(
            outcome, self.ours[who].buy(when, order_id, *paid, categories=categories, **more)
        )

    def give_back(self, who: str, when: Instant, back: int, amount: int | None) -> None:
        if not self.orders[who]:
            return
        order_id, paid = self.orders[who][-1 - back % len(self.orders[who])]
        if amount is None:
            self.returned(who, when, order_id, None)
        else:
            line = amount % len(paid)
            self.returned(who, when, order_id, {str(line + 1): min(amount, paid[line])})

    def returned(self, who: str, when: Instant, order_id: str, lines: dict[str, int] | None) -> None:
        return_id = self.number()
        data: dict[str, Any] = {"order_id": order_id, "return_id": return_id}
        if lines is not None:
            data["lines"] = [{"line_id": n, "amount": amount} for n, amount in lines.items()]
        outcome = self.told(who, when, "purchase.returned.v1", data)
        known = any(order_id == bought for bought, _ in self.orders[who])
        self.expect(
            outcome,
            self.ours[who].give_back(when, order_id, return_id, lines, Facts(order_known=known)),
        )

    def refer(self, who: str, when: Instant, referrer: str) -> None:
        data = {"referrer_id": referrer, "code": self.number()}
        outcome = self.told(who, when, "referral.registered.v1", data)
        theirs = self.ours[referrer].account.referral
        facts = Facts(referrer_referred_by=None if theirs is None else theirs.referrer_id)
        if outcome not in AT_THE_DOOR:
            self.expect(outcome, self.ours[who].referred(when, referrer, facts))

    def spend(self, who: str, when: Instant, step: tuple[Any, ...]) -> None:
        ours = self.ours[who]
        if step[0] in ("reserve", "checkout"):
            when = self.latest  # points are held at the till, not afterwards
            name = self.named[who] = self.number()
            data: dict[str, Any] = {"redemption_id": name, "points": step[1]}
            outcome = self.told(who, when, "redemption.reserve.v1", data)
            self.expect(outcome, ours.reserve(when, name, step[1]))
            if step[0] == "checkout":
                self.spend(who, when, ("confirm", None))
                self.buy(who, when, self.number(), step[2], redemption_id=name)
        elif who in self.named and step[0] == "confirm":
            data = {"redemption_id": self.named[who]}
            if step[1] is not None:
                data["points"] = step[1]
            outcome = self.told(who, when, "redemption.confirm.v1", data)
            if outcome not in AT_THE_DOOR:
                self.expect(outcome, ours.confirm(when, self.named[who], step[1]))
        elif who in self.named:
            data = {"redemption_id": self.named[who]}
            outcome = self.told(who, when, "redemption.cancel.v1", data)
            if outcome not in AT_THE_DOOR:
                self.expect(outcome, ours.cancel(when, self.named[who]))

    def compare(self) -> None:
        for name, member in self.ours.items():
            fork = member.account.fork()
            decide_tick(fork, self.latest, self.timeline)
            balances = fork.balances()
            found = {
                "available": balances.available,
                "pending": balances.pending,
                "reserved": balances.reserved,
                "expired": balances.expired,
                "granted": balances.granted,
                "debt": balances.debt,
                "tier": fork.tier,
            }
            self.reference.member(name)
            assert found == self.reference.state(name, moment(self.latest)), name


@settings(max_examples=SAMPLES, deadline=None)
@given(programs(), st.booleans(), steps)
def test_account_and_reference_agree(
    document: dict[str, Any], late_ones: bool, history: list[tuple[int, int, int, tuple[Any, ...]]]
) -> None:
    if late_ones:
        # The model works out past tiers again from all that it ever saw; the account keeps what it
        # held then. So the tier of the past must not matter where something is late twice.
        document["earn"] = [rule for rule in document["earn"] if "tier" not in str(rule.get("when"))]
    both = Both(document)
    now = at(START) + 60 * HOUR_US
    for who, hours, late, step in history:
        now += hours * HOUR_US
        both.take(MEMBERS[who], now - late * late_ones * HOUR_US, step)
        both.compare()
