"""Random histories of two members who may refer each other, and random programs to judge them by.

A history is a list of steps; `Town` turns each into inputs for the accounts. Reservations and
returns before their purchase are among them, and inputs that are late.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from ledger.core.decide import outcome_of
from ledger.core.program.timeline import Timeline
from schemas.decisions import AccountEvent, Facts
from schemas.fields import Instant
from tests.core.account_tools import Member, at, timeline

HOUR_US = 3_600_000_000
STEPS_MAX = 60
"""Long enough to earn, spend, return, expire and lose a tier; short enough to try many."""

START = "2017-01-01"
LATE_HOURS_MAX = 60
MEMBERS = ("a", "b")
CATEGORIES = ("PRODUCE", "MEAT", None)

SHORT_PERIODS = ("calendar_month", "calendar_quarter")
"""Periods of tiers that end within the usual gaps between steps."""

Step = tuple[int, int, int, tuple[Any, ...]]
"""(who, hours since the step before, hours late, what)."""


ACTIVATIONS = ("immediately", {"after": "P3D"}, {"after": "P10D"})
EXPIRIES = ({"after": "P9D"}, {"after": "P1M"}, {"end_of": "month", "after": "P10D"}, "never")
RETURNS: tuple[dict[str, Any], ...] = (
    {"policy": "debt"},
    {"policy": "debt", "debt_limit": 15},
    {"policy": "within_balance"},
    {"policy": "only_pending"},
)
SURVEYS = [
    {"id": "s", "award": {"fixed": 20}, "activation": "immediately"},
    {"id": "t", "award": {"fixed": 7}},
]

LEVELS = {"amount_spent": (3000, 8000), "points_earned": (30, 80), "purchases": (2, 5)}
"""Where silver and gold begin, so low that a history reaches both; by what qualifies for them."""


def tiers_of(measure: str, window: str, downgrade: dict[str, Any]) -> dict[str, Any]:
    """Silver and gold."""
    silver, gold = LEVELS[measure]
    return {
        "qualify_by": {measure: {"window": window}},
        "levels": [{"id": "silver", "at_least": silver}, {"id": "gold", "at_least": gold}],
        "downgrade": downgrade,
    }


def referral_of(qualifies: str) -> dict[str, Any]:
    """`qualifies`: first_purchase | purchase."""
    return {
        "qualifies": {qualifies: {"at_least": 500, "within": "P20D"}},
        "referrer": {"fixed": 10},
        "referee": {"fixed": 5},
    }


@st.composite
def programs(draw: st.DrawFn, periods: Sequence[str] = SHORT_PERIODS) -> dict[str, Any]:
    """A program of the demo's kinds, with short periods so that a history sees them end."""
    period = draw(st.sampled_from(periods))
    measure = draw(st.sampled_from(list(LEVELS)))
    durations = st.sampled_from(ACTIVATIONS)
    expiries = st.sampled_from(EXPIRIES)
    downgrade: dict[str, Any] = draw(st.sampled_from([{}, {"grace": "P3D"}, {"grace": "P10D"}]))
    kind = draw(st.sampled_from(["first_purchase", "purchase"]))
    returns = draw(st.sampled_from(RETURNS))
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
            {"id": "thanks", "award": {"fixed": 3}, "limits": [{"times": 2, "per": "month"}]},
        ],
        "tiers": tiers_of(measure, period, downgrade),
        "surveys": [dict(survey) for survey in SURVEYS],  # of this program alone
        "referral": referral_of(kind),
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

LONG_GAP_HOURS_MAX = 24 * 500
"""Longer than a year and the longest grace: a tier is lost between two steps."""


def with_a_long_gap(step: Step, hours: int) -> Step:
    """The same step, so much later."""
    return (step[0], step[1] + hours, *step[2:])


long_steps = st.lists(
    st.builds(
        with_a_long_gap, step, st.one_of(st.just(0), st.integers(24 * 20, LONG_GAP_HOURS_MAX))
    ),
    min_size=3,
    max_size=STEPS_MAX // 2,
)
"""Histories over years."""


class Town:
    """The accounts of both members; effects reach their target at once."""

    def __init__(self, document: dict[str, Any], *more: dict[str, Any]) -> None:
        self.document = document
        self.timeline: Timeline = timeline(*(json.dumps(each) for each in (document, *more)))
        self.ours = {name: Member(self.timeline, name) for name in MEMBERS}
        self.orders: dict[str, list[tuple[str, list[int]]]] = {name: [] for name in MEMBERS}
        self.named: dict[str, str] = {}  # the last reservation of each member
        self.numbers = 0
        self.latest = at(START)

    def number(self) -> str:
        """The next number for an id."""
        self.numbers += 1
        return str(self.numbers)

    def told(self, who: str, when: Instant, kind: str, data: dict[str, Any]) -> str | None:
        """For whom it may concern: what the outcome should be, `duplicate` when the account is not
        to be asked, None when nobody knows."""
        return None

    def done(self, expected: str | None, events: list[AccountEvent]) -> None:
        """Check the outcome and carry the effects."""
        assert expected is None or outcome_of(events) == expected
        for event in events:
            for effect in event.effects:
                self.ours[effect.target].effect(effect.occurred_at, effect.type, bytes(effect.data))

    def live(self, history: Sequence[Step]) -> Iterator[Instant]:
        """Let the steps happen, some of them late; after each, when it arrived."""
        now = at(START) + LATE_HOURS_MAX * HOUR_US
        for who, hours, late, step in history:
            now += hours * HOUR_US
            self.take(MEMBERS[who], now - late * HOUR_US, step)
            yield now

    def take(self, who: str, when: Instant, step: tuple[Any, ...]) -> None:
        """Let one step happen."""
        self.latest = max(self.latest, when)
        if step[0] == "buy":
            self.buy(who, when, self.number(), step[1])
        elif step[0] == "return":
            self.give_back(who, when, step[1], step[2])
        elif step[0] == "return before":
            # Its purchase follows, if at all: one of the next numbers.
            self.returned(who, when, str(self.numbers + 3 + step[1]), None)
        elif step[0] == "survey":
            data = {"survey_id": step[1], "completion_id": self.number()}
            outcome = self.told(who, when, "survey.completed.v1", data)
            self.done(outcome, self.ours[who].survey(when, step[1]))
        elif step[0] == "refer":
            self.refer(who, when, MEMBERS[1 - MEMBERS.index(who)])
        else:
            self.spend(who, when, step)

    def buy(self, who: str, when: Instant, order_id: str, paid: list[int], **more: Any) -> None:
        """A purchase with lines of these amounts."""
        categories = [CATEGORIES[amount % 3] for amount in paid]
        lines = [
            {"line_id": str(n), "sku": "x", "category": c, "quantity": 1, "amount": amount}
            for n, (amount, c) in enumerate(zip(paid, categories, strict=True), 1)
        ]
        data = {"order_id": order_id, "store_id": "s1", "channel": "store", "lines": lines, **more}
        outcome = self.told(who, when, "purchase.completed.v1", data)
        self.orders[who].append((order_id, paid))
        ours = self.ours[who]
        self.done(outcome, ours.buy(when, order_id, *paid, categories=categories, **more))

    def give_back(self, who: str, when: Instant, back: int, amount: int | None) -> None:
        """A return of one of the last orders: all of it, or so much of one line."""
        if not self.orders[who]:
            return
        order_id, paid = self.orders[who][-1 - back % len(self.orders[who])]
        line = (amount or 0) % len(paid)
        part = None if amount is None else {str(line + 1): min(amount, paid[line])}
        self.returned(who, when, order_id, part)

    def returned(
        self, who: str, when: Instant, order_id: str, lines: dict[str, int] | None
    ) -> None:
        """A return of lines (line_id → amount) or of the whole order."""
        return_id = self.number()
        data: dict[str, Any] = {"order_id": order_id, "return_id": return_id}
        if lines is not None:
            data["lines"] = [{"line_id": n, "amount": amount} for n, amount in lines.items()]
        outcome = self.told(who, when, "purchase.returned.v1", data)
        facts = Facts(order_known=any(order_id == bought for bought, _ in self.orders[who]))
        self.done(outcome, self.ours[who].give_back(when, order_id, return_id, lines, facts))

    def refer(self, who: str, when: Instant, referrer: str) -> None:
        """The member was brought in by the other one."""
        data = {"referrer_id": referrer, "code": self.number()}
        outcome = self.told(who, when, "referral.registered.v1", data)
        theirs = self.ours[referrer].account.referral
        facts = Facts(referrer_referred_by=None if theirs is None else theirs.referrer_id)
        if outcome != "duplicate":
            self.done(outcome, self.ours[who].referred(when, referrer, facts))

    def spend(self, who: str, when: Instant, step: tuple[Any, ...]) -> None:
        """Reserve, confirm, cancel, or all that a till does with points and a basket."""
        ours = self.ours[who]
        if step[0] in ("reserve", "checkout"):
            when = self.latest  # points are held at the till, not afterwards
            name = self.named[who] = self.number()
            data: dict[str, Any] = {"redemption_id": name, "points": step[1]}
            outcome = self.told(who, when, "redemption.reserve.v1", data)
            self.done(outcome, ours.reserve(when, name, step[1]))
            if step[0] == "checkout":
                self.spend(who, when, ("confirm", None))
                self.buy(who, when, self.number(), step[2], redemption_id=name)
        elif who in self.named and step[0] == "confirm":
            data = {"redemption_id": self.named[who]}
            if step[1] is not None:
                data["points"] = step[1]
            outcome = self.told(who, when, "redemption.confirm.v1", data)
            if outcome != "duplicate":
                self.done(outcome, ours.confirm(when, self.named[who], step[1]))
        elif who in self.named:
            data = {"redemption_id": self.named[who]}
            outcome = self.told(who, when, "redemption.cancel.v1", data)
            if outcome != "duplicate":
                self.done(outcome, ours.cancel(when, self.named[who]))
