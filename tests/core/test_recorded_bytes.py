"""What is recorded does not change: the bytes of the events of fixed histories, by their hash.

Events are never rewritten, so whoever folds a log of years expects what was written then. Each
history is another program and some forty inputs of all kinds, late ones and ticks among them, made
from its seed alone. A change of what is decided, or of how it is encoded, changes the hash: where
that is meant, the hash is set anew together with a reason in the commit.
"""

import hashlib
from random import Random
from typing import Any

from ledger.core.program.compiled import compile_program
from ledger.core.program.load import load_program
from ledger.core.program.timeline import Timeline
from schemas.log_events import encode_event
from tests.core.account_tools import Member, at
from tests.core.histories import (
    ACTIVATIONS,
    EXPIRIES,
    HOUR_US,
    LEVELS,
    MEMBERS,
    RETURNS,
    START,
    SURVEYS,
    Town,
    referral_of,
    tiers_of,
)
from tests.core.program_texts import DEMO

HISTORIES = 60
"""Enough that every kind of event and of cap is among them; a second in all."""

STEPS = 40

RECORDED = "3ed80fbd02e593e1f537bf755260845bedd44984020a4e79b445721a4f7f5a17"
"""SHA-256 of all events of the histories, in order."""


def document(random: Random, effective_from: str = "2017-01-01T00:00:00Z") -> dict[str, Any]:
    """A program that uses every kind of award, limit, stacking and timing."""
    pick = random.choice
    measure = pick(tuple(LEVELS))
    window = pick(("calendar_month", "calendar_quarter", "calendar_year", "lifetime"))
    downgrade: dict[str, Any] = (
        {} if window == "lifetime" else {"to": pick(("to_qualified", "one_down"))}
    )
    if window != "lifetime" and random.random() < 0.5:
        downgrade["grace"] = pick(("P3D", "P10D"))
    returns = pick(RETURNS)
    return {
        "program": "recorded",
        "currency": "RUB",
        "time_zone": pick(("UTC", "Europe/Berlin", "America/Sao_Paulo")),
        "effective_from": effective_from,
        "point_value": 1,
        "rounding": pick(("floor", "half_even", "ceil")),
        "activation": pick(ACTIVATIONS),
        "expiry": pick(EXPIRIES),
        "earn": [
            {"id": "base", "award": {"rate": {"points": 1, "per_amount": 100}}},
            {
                "id": "fresh",
                "lines": {"category": ["PRODUCE"], "amount": {"at_least": 3}},
                "award": {"rate": {"points": 3, "per_amount": 200}},
                "limits": [{"points": 20, "per": "day"}, {"points": 90, "per": "lifetime"}],
                "counts_for_tier": False,
            },
            {
                "id": "silver-bonus",
                "when": {"tier_at_least": "silver"},
                "award": {"multiplier": {"of": "base", "by": "1.2"}},
                "stacking": {"best_of_group": "tiers"},
            },
            {
                "id": "gold-bonus",
                "when": {"tier_at_least": "gold"},
                "award": {"multiplier": {"of": "base", "by": "1.5"}},
                "activation": pick(ACTIVATIONS),
                "stacking": {"best_of_group": "tiers"},
            },
            {
                "id": "fresh-twice",
                "when": {"nth_purchase": {"every": 3}},
                "lines": {"category": "PRODUCE"},
                "award": {"multiplier": {"of": "base", "by": "2"}},
            },
            {
                "id": "steps",
                "valid": {"from": "2017-01-10T00:00:00Z", "to": "2017-04-01T00:00:00Z"},
                "when": {
                    "weekday": ["mon", "tue", "sat"],
                    "hours": {"from": "08:00", "to": "20:00"},
                },
                "award": {
                    "table": [{"at_least": 300, "points": 4}, {"at_least": 1500, "points": 11}]
                },
                "overrides": [
                    {"store": ["s1"], "award": {"table": [{"at_least": 200, "points": 6}]}}
                ],
            },
            {
                "id": "weekly",
                "when": {"purchase_amount": {"at_least": 500}},
                "award": {"fixed": 5},
                "limits": [{"times": 1, "per": "iso_week"}],
                "expiry": pick(EXPIRIES),
            },
            {
                "id": "loyal",
                "when": "purchase.amount >= 700 and account.purchases >= 4",
                "award": {"fixed": 2},
                **({"stacking": "exclusive"} if random.random() < 0.5 else {}),
            },
            {"id": "thanks", "award": {"fixed": 3}, "limits": [{"times": 2, "per": "month"}]},
        ],
        "tiers": tiers_of(measure, window, downgrade),
        "surveys": SURVEYS,
        "referral": referral_of(pick(("first_purchase", "purchase"))),
        "returns": {**returns, "window": pick(("P10D", "P3M"))},
        "redemption": {
            "minimum": 2,
            "step": 1,
            "reservation_ttl": pick(("PT6H", "P4D")),
            "restore_grace": pick(("P0D", "P2D")),
        },
        "segments": [{"id": "vips", "when": {"tag": "vip"}}],
    }


def step(random: Random) -> tuple[Any, ...]:
    """One thing that happens."""
    paid = [random.randrange(2500) * (random.random() < 0.9) for _ in range(random.randint(1, 3))]
    kind = random.randrange(100)
    if kind < 35:
        return ("buy", paid)
    if kind < 47:
        part = None if random.random() < 0.4 else random.randrange(1500)
        return ("return", random.randrange(6), part)
    if kind < 52:
        return ("return before", random.randrange(4))
    if kind < 58:
        return ("survey", random.choice("stu"))
    if kind < 63:
        return ("refer",)
    if kind < 74:
        return ("reserve", random.randint(1, 25))
    if kind < 81:
        return ("checkout", random.randint(1, 25), paid)
    if kind < 86:
        return ("confirm", None if random.random() < 0.5 else random.randint(1, 25))
    if kind < 92:
        return ("cancel",)
    return ("tick",) if kind < 96 else ("profile",)


def town(random: Random) -> Town:
    """The members of a history, after it happened."""
    more = [document(random, "2017-02-10T00:00:00Z")] if random.random() < 0.4 else []
    here = Town(document(random), *[{**each, "time_zone": "UTC"} for each in more])
    now = at(START) + 60 * HOUR_US
    for _ in range(STEPS):
        now += random.choice((0, 1, 5, 17, 50, 200)) * HOUR_US
        late = random.choice((0, 0, 0, 0, 0, 2, 10, 60)) * HOUR_US
        who, what = random.choice(MEMBERS), step(random)
        if what[0] == "tick":
            here.ours[who].tick(now - 60 * HOUR_US)
        elif what[0] == "profile":
            tags = random.choice((("vip",), (), None))
            here.ours[who].profile(now, enrolled=random.random() < 0.5, tags=tags)
        else:
            here.take(who, now - late, what)
    if random.random() < 0.2:
        here.ours[MEMBERS[0]].erase(now)
        here.take(MEMBERS[0], now, ("buy", [100]))
    here.ours[MEMBERS[1]].tick(now + 24 * 400 * HOUR_US)
    return here


def recorded(seed: int) -> bytes:
    """The bytes of all events of a history."""
    here = town(Random(seed))
    return b"".join(encode_event(event) for one in here.ours.values() for event in one.events)


def shopper() -> bytes:
    """The events of a member of the demo's program: many lots, a whole year, a tier."""
    program = compile_program(load_program(DEMO.replace("USD", "RUB"), "program.yaml"))
    member = Member(Timeline([(program.effective_from, program)]))
    random = Random(1)
    now = program.effective_from
    for number in range(150):
        now += random.randrange(1, 120) * HOUR_US
        paid = [random.randrange(1, 2500) for _ in range(random.choice((1, 2, 9)))]
        categories = [random.choice(("PRODUCE", "MEAT", "GROCERY")) for _ in paid]
        member.buy(now, f"o{number}", *paid, categories=categories)
    return b"".join(encode_event(event) for event in member.events)


def test_the_events_of_fixed_histories_are_the_same_bytes_as_ever() -> None:
    digest = hashlib.sha256()
    for seed in range(HISTORIES):
        digest.update(recorded(seed))
    digest.update(shopper())
    assert digest.hexdigest() == RECORDED
