"""The reference model against numbers worked out by hand.

The model judges the ledger, so nothing here is computed by either: every expected number can be
checked with a pencil.
"""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from demo.reference import ReferenceProgram, UnsupportedError
from demo.reference.dates import duration, instant, plus
from demo.reference.earning import allocate
from demo.reference.expression import compiled

Document = dict[str, Any]


def program(**sections: Any) -> Document:
    document: Document = {
        "program": "test",
        "currency": "USD",
        "time_zone": "UTC",
        "effective_from": "2017-01-01T00:00:00Z",
        "activation": {"after": "P7D"},
        "expiry": {"after": "P6M"},
        "earn": [{"id": "base", "award": {"rate": {"points": 1, "per_amount": 100}}}],
    }
    return document | sections


class Till:
    """Feeds the model and reads it, in few words; checks the entries after each step."""

    def __init__(self, document: Document) -> None:
        self.model = ReferenceProgram(document)

    def send(self, kind: str, member: str, time: str, **data: Any) -> str:
        outcome = self.model.apply(
            {
                "id": "1",
                "source": "test",
                "type": kind,
                "subject": member,
                "time": time,
                "data": data,
            }
        )
        for each in self.model.members.values():
            each.wallet.check()
        return outcome

    def buy(self, member: str, time: str, order_id: str, *amounts: int, **extra: Any) -> str:
        lines = [
            {"line_id": str(n), "sku": f"sku-{n}", "quantity": 1, "amount": amount}
            for n, amount in enumerate(amounts, start=1)
        ]
        data = {"order_id": order_id, "lines": lines} | extra
        return self.send("purchase.completed.v1", member, time, **data)

    def bring_back(
        self, member: str, time: str, order_id: str, return_id: str, **lines: int
    ) -> str:
        """Lines as l1=500; none is the whole order."""
        data: Document = {"order_id": order_id, "return_id": return_id}
        if lines:
            named = [{"line_id": name[1:], "amount": amount} for name, amount in lines.items()]
            data["lines"] = named
        return self.send("purchase.returned.v1", member, time, **data)

    def of(self, member: str, time: str, *names: str) -> tuple[int | str, ...]:
        state = self.model.state(member, instant(time))
        return tuple(state[name] for name in names or ("available", "pending", "expired", "debt"))


def test_the_worked_example() -> None:
    till = Till(
        program(
            time_zone="Europe/Moscow",
            currency="RUB",
            effective_from="2024-01-01T00:00:00Z",
            activation={"after": "P14D"},
            expiry={"after": "P12M"},
            earn=[
                {"id": "base", "award": {"rate": {"points": 5, "per_amount": 10000}}},
                {
                    "id": "gold-bonus",
                    "when": {"tier": "gold"},
                    "award": {"multiplier": {"of": "base", "by": 2}},
                },
            ],
            tiers={
                "qualify_by": {"amount_spent": {"window": "calendar_year"}},
                "levels": [{"id": "gold", "at_least": 100}],
            },
            returns={"policy": "within_balance"},
            redemption={"restore_grace": "P7D"},
        )
    )
    # One rouble in 2025: gold for 2026, and no points.
    till.buy("m", "2025-06-01T12:00:00+03:00", "o0", 100)
    till.buy("m", "2026-01-10T12:00:00+03:00", "o1", 129900, 45050)
    order = till.model.members["m"].orders["o1"]
    assert [(g.award.rule.id, g.award.points, g.award.shares) for g in order.awards] == [
        ("base", 87, [65, 22]),
        ("gold-bonus", 87, [65, 22]),
    ]
    (lot,) = till.model.members["m"].wallet.lots
    assert lot.activates_at == instant("2026-01-24T12:00:00+03:00")
    assert lot.expires_at == instant("2027-01-24T12:00:00+03:00")
    assert till.of("m", "2026-01-10T12:00:00+03:00", "available", "pending") == (0, 174)

    till.bring_back("m", "2026-01-20T12:00:00+03:00", "o1", "r1", l2=45050)
    assert till.of("m", "2026-01-20T12:00:00+03:00", "available", "pending") == (0, 130)
    assert till.of("m", "2026-01-24T11:59:59+03:00", "available", "pending") == (0, 130)
    assert till.of("m", "2026-01-24T12:00:00+03:00", "available", "pending") == (130, 0)

    redemption = {"redemption_id": "x"}
    till.send("redemption.reserve.v1", "m", "2026-01-25T12:00:00+03:00", **redemption, points=100)
    assert till.of("m", "2026-01-25T12:00:00+03:00", "available", "reserved") == (30, 100)
    till.send("redemption.confirm.v1", "m", "2026-01-25T12:01:00+03:00", **redemption, points=100)
    assert till.of("m", "2026-01-25T12:01:00+03:00", "available", "reserved") == (30, 0)
    assert till.of("m", "2027-01-24T11:59:59+03:00", "available", "expired") == (30, 0)
    assert till.of("m", "2027-01-24T12:00:00+03:00", "available", "expired") == (0, 30)
    assert till.of("m", "2027-01-24T12:00:00+03:00", "granted") == (174,)
    # And the past can still be asked for.
    assert till.of("m", "2026-01-10T12:00:00+03:00", "available", "pending") == (0, 174)


@pytest.mark.parametrize(
    ("points", "amounts", "shares"),
    [
        (87, [129900, 45050], [65, 22]),
        (10, [1, 1, 1], [4, 3, 3]),  # equal remainders: the earlier line
        (2, [1, 1, 1], [1, 1, 0]),
        (5, [0, 3, 0, 1], [0, 4, 0, 1]),  # 3.75 and 1.25
        (7, [0, 0], [7, 0]),  # nothing to go by: the first
    ],
)
def test_allocation_is_by_largest_remainder(
    points: int, amounts: list[int], shares: list[int]
) -> None:
    assert allocate(points, amounts) == shares


@pytest.mark.parametrize(
    ("start", "by", "zone", "end"),
    [
        ("2017-08-31T10:00:00Z", "P6M", "UTC", "2018-02-28T10:00:00Z"),
        ("2016-02-29T10:00:00Z", "P1Y", "UTC", "2017-02-28T10:00:00Z"),
        ("2017-01-31T10:00:00Z", "P1M1D", "UTC", "2017-03-01T10:00:00Z"),
        # Same local time across the change to summer time: an hour less in between.
        ("2017-03-25T09:00:00Z", "P1D", "Europe/Berlin", "2017-03-26T08:00:00Z"),
        ("2017-03-25T09:00:00Z", "PT24H", "Europe/Berlin", "2017-03-26T09:00:00Z"),
        # 02:30 does not exist on that day: 03:30 summer time.
        ("2017-03-25T01:30:00Z", "P1D", "Europe/Berlin", "2017-03-26T01:30:00Z"),
        # 02:30 is twice on that day: the first.
        ("2017-10-28T00:30:00Z", "P1D", "Europe/Berlin", "2017-10-29T00:30:00Z"),
    ],
)
def test_calendar_arithmetic(start: str, by: str, zone: str, end: str) -> None:
    assert plus(instant(start), duration(by), ZoneInfo(zone)) == instant(end)


def test_expiry_at_month_ends() -> None:
    till = Till(program(activation="immediately"))
    till.buy("m", "2017-08-31T10:00:00Z", "o1", 1000)
    assert till.of("m", "2018-02-28T09:59:59Z", "available", "expired") == (10, 0)
    assert till.of("m", "2018-02-28T10:00:00Z", "available", "expired") == (0, 10)

    to_the_end = Till(program(activation="immediately", expiry={"end_of": "month", "after": "P1M"}))
    to_the_end.buy("m", "2017-01-31T10:00:00Z", "o1", 1000)
    assert to_the_end.of("m", "2017-02-28T23:59:59Z", "available") == (10,)
    assert to_the_end.of("m", "2017-03-01T00:00:00Z", "available", "expired") == (0, 10)


def test_a_limit_per_iso_week() -> None:
    rule = {"id": "treat", "award": {"fixed": 50}, "limits": [{"times": 1, "per": "iso_week"}]}
    till = Till(program(earn=[rule]))
    till.buy("m", "2017-01-01T12:00:00Z", "sunday", 100)  # the last day of week 52 of 2016
    till.buy("m", "2017-01-02T12:00:00Z", "monday", 100)
    assert till.of("m", "2017-01-02T12:00:00Z", "granted") == (100,)
    till.buy("m", "2017-01-08T23:59:59Z", "the-next-sunday", 100)
    assert till.of("m", "2017-01-09T00:00:00Z", "granted") == (100,)
    # A wholly returned award gives its time back.
    till.bring_back("m", "2017-01-08T23:59:59Z", "monday", "r1")
    till.buy("m", "2017-01-08T23:59:59Z", "again", 100)
    assert till.of("m", "2017-01-09T00:00:00Z", "granted") == (150,)


def test_a_limit_of_points_caps_the_award() -> None:
    rule = {
        "id": "base",
        "award": {"rate": {"points": 1, "per_amount": 100}},
        "limits": [{"points": 30, "per": "month"}],
    }
    till = Till(program(earn=[rule]))
    till.buy("m", "2017-01-10T00:00:00Z", "o1", 2500)
    till.buy("m", "2017-01-11T00:00:00Z", "o2", 2500)
    assert till.of("m", "2017-01-31T00:00:00Z", "granted") == (30,)
    till.bring_back("m", "2017-01-12T00:00:00Z", "o1", "r1", l1=1000)  # gives 10 back
    till.buy("m", "2017-01-13T00:00:00Z", "o3", 2500)
    assert till.of("m", "2017-01-31T00:00:00Z", "granted") == (40,)


def test_groups_exclusives_and_multipliers_of_what_was_capped() -> None:
    rate = {"rate": {"points": 1, "per_amount": 100}}
    rules: list[Document] = [
        {"id": "base", "award": rate, "limits": [{"points": 20, "per": "order"}]},
        {"id": "third", "award": {"multiplier": {"of": "base", "by": "1.33"}}},  # 6 of 20
        {"id": "small", "award": {"fixed": 3}, "stacking": {"best_of_group": "g"}},
        {"id": "large", "award": {"fixed": 5}, "stacking": {"best_of_group": "g"}},
        {"id": "more-of-small", "award": {"multiplier": {"of": "small", "by": 10}}},
        {"id": "last", "award": {"fixed": 100}, "stacking": "exclusive"},
        {"id": "never", "award": {"fixed": 1000}},
    ]
    till = Till(program(earn=rules))
    till.buy("m", "2017-01-10T00:00:00Z", "o1", 5000)
    awards = till.model.members["m"].orders["o1"].awards
    assert [(g.award.rule.id, g.award.points) for g in awards] == [
        ("base", 20),
        ("third", 6),
        ("large", 5),
        ("last", 100),
    ]


@pytest.mark.parametrize(("rounding", "points"), [("floor", 2), ("half_even", 2), ("ceil", 3)])
def test_rounding(rounding: str, points: int) -> None:
    till = Till(program(rounding=rounding))
    till.buy("m", "2017-01-10T00:00:00Z", "o1", 250)
    assert till.of("m", "2017-01-10T00:00:00Z", "granted") == (points,)


def test_lines_and_typed_conditions() -> None:
    rules = [
        {
            "id": "fresh",
            "lines": {"category": ["PRODUCE"], "amount": {"at_least": 200}},
            "when": {"store": ["7"], "channel": "store", "weekday": ["tue"]},
            "award": {"rate": {"points": 1, "per_amount": 100}},
        }
    ]
    till = Till(program(earn=rules))
    lines = [
        {"line_id": "a", "sku": "a", "category": "PRODUCE", "quantity": 1, "amount": 199},
        {"line_id": "b", "sku": "b", "category": "PRODUCE", "quantity": 1, "amount": 300},
        {"line_id": "c", "sku": "c", "quantity": 1, "amount": 900},
    ]
    for order_id, time, store in (
        ("right", "2017-01-03T00:00:00Z", "7"),
        ("wrong store", "2017-01-03T00:00:00Z", "8"),
        ("a Wednesday", "2017-01-04T00:00:00Z", "7"),
    ):
        till.buy("m", time, order_id, store_id=store, channel="store", lines=lines)
    assert till.of("m", "2017-01-05T00:00:00Z", "granted") == (3,)


def test_expressions_are_exact_and_strict() -> None:
    text = "sum(map(purchase.lines, #.quantity)) >= 0.3 and purchase.amount >= 200"
    rules = [{"id": "x", "when": text, "award": {"fixed": 1}}]
    till = Till(program(earn=rules))
    line = {"sku": "s", "amount": 100}
    lines = [line | {"line_id": "a", "quantity": "0.1"}, line | {"line_id": "b", "quantity": 0.2}]
    till.buy("m", "2017-01-03T00:00:00Z", "o1", lines=lines)
    assert till.of("m", "2017-01-03T00:00:00Z", "granted") == (1,)
    for unknown in ("rand(1) > 0", "purchase.secret == 1", "purchase.amount >", "1 # 2", "d()"):
        with pytest.raises(ValueError, match="expression"):
            compiled(unknown)


TIERS = {
    "qualify_by": {"amount_spent": {"window": "calendar_year"}},
    "levels": [{"id": "silver", "at_least": 1000}, {"id": "gold", "at_least": 5000}],
    "downgrade": {"to": "to_qualified", "grace": "P1M"},
}
SILVER_RULES = [
    {"id": "base", "award": {"rate": {"points": 1, "per_amount": 100}}},
    {
        "id": "silver-bonus",
        "when": {"tier_at_least": "silver"},
        "award": {"multiplier": {"of": "base", "by": 2}},
    },
]


def test_a_purchase_that_crosses_a_threshold_earns_by_the_tier_before() -> None:
    till = Till(program(earn=SILVER_RULES, tiers=TIERS))
    till.buy("m", "2017-01-10T00:00:00Z", "o1", 1000)
    assert till.of("m", "2017-01-10T00:00:00Z", "granted", "tier") == (10, "silver")
    till.buy("m", "2017-01-11T00:00:00Z", "o2", 1000)
    assert till.of("m", "2017-01-11T00:00:00Z", "granted", "tier") == (30, "silver")
    assert till.of("m", "2017-01-09T00:00:00Z", "granted", "tier") == (0, "none")


def test_a_tier_lasts_to_the_end_of_the_next_year_and_the_grace() -> None:
    till = Till(program(tiers=TIERS))
    till.buy("m", "2017-06-10T00:00:00Z", "o1", 5000)
    till.buy("m", "2018-06-10T00:00:00Z", "o2", 1000)
    for time, tier in (
        ("2017-06-10T00:00:00Z", "gold"),
        ("2018-12-31T23:59:59Z", "gold"),
        ("2019-01-31T23:59:59Z", "gold"),
        ("2019-02-01T00:00:00Z", "silver"),
        ("2020-01-31T23:59:59Z", "silver"),
        ("2020-02-01T00:00:00Z", "none"),
    ):
        assert till.of("m", time, "tier") == (tier,), time


def test_a_return_takes_away_the_tier_that_it_alone_had_reached() -> None:
    till = Till(program(tiers=TIERS, returns={"policy": "debt"}))
    till.buy("m", "2017-12-01T00:00:00Z", "o1", 1000)
    till.buy("m", "2017-12-02T00:00:00Z", "o2", 4000)
    assert till.of("m", "2017-12-02T00:00:00Z", "tier") == ("gold",)
    till.bring_back("m", "2017-12-10T00:00:00Z", "o2", "r2")
    assert till.of("m", "2017-12-10T00:00:00Z", "tier") == ("silver",)
    # After the year's end: the tier held then is a fact and stays for the grace.
    till.bring_back("m", "2018-01-10T00:00:00Z", "o1", "r1")
    assert till.of("m", "2018-01-31T23:59:59Z", "tier") == ("silver",)
    assert till.of("m", "2018-02-01T00:00:00Z", "tier") == ("none",)


def test_a_late_purchase_is_decided_as_of_its_time() -> None:
    till = Till(program(earn=SILVER_RULES, tiers=TIERS))
    till.buy("m", "2017-03-01T00:00:00Z", "o1", 1000)
    till.buy("m", "2018-01-01T00:00:00Z", "o2", 100)  # settles to 2018
    till.buy("m", "2017-02-01T00:00:00Z", "late", 1000)  # before the tier: no bonus
    assert till.of("m", "2018-01-01T00:00:00Z", "granted", "expired") == (10 + 2 + 10, 20)
    assert till.of("m", "2017-02-08T00:00:00Z", "available", "tier") == (10, "silver")


WELCOMING = {
    "qualify_by": {"purchases": {"window": "lifetime"}},
    "levels": [{"id": "silver", "at_least": 2, "welcome": 30}],
}


@pytest.mark.parametrize(
    ("expiry", "left"), [({"after": "P2D"}, (0, 17)), ({"after": "P12M"}, (5, 12))]
)
def test_a_purchase_and_its_welcome_pay_the_debt_together(
    expiry: Document, left: tuple[int, int]
) -> None:
    """What expires first pays first, whichever of the two that is."""
    rule = {"id": "five", "award": {"fixed": 5}, "expiry": expiry}
    till = Till(program(activation="immediately", earn=[rule], tiers=WELCOMING))
    till.buy("m", "2017-01-10T00:00:00Z", "o1", 100)
    data = {"points": -23, "allow_debt": True, "actor": "office", "reason": "asked for"}
    till.send("command.adjust.v1", "m", "2017-01-11T00:00:00Z", **data)
    assert till.of("m", "2017-01-11T00:00:00Z", "debt") == (18,)
    till.buy("m", "2017-01-20T00:00:00Z", "o2", 100)
    assert till.of("m", "2017-01-20T00:00:00Z") == (17, 0, 0, 0)
    # Of the welcome's 30 (to July) 13 are used up with the 5 that end sooner, or else 18.
    assert till.of("m", "2017-03-01T00:00:00Z", "available", "expired") == (17, 0)
    assert till.of("m", "2017-09-01T00:00:00Z", "available", "expired") == left


REFERRAL = {
    "qualifies": {"first_purchase": {"at_least": 2000, "within": "P60D"}},
    "referrer": {"fixed": 100},
    "referee": {"fixed": 50},
}


def refer(till: Till, referee: str, referrer: str, time: str) -> str:
    data = {"referrer_id": referrer, "code": "c"}
    return till.send("referral.registered.v1", referee, time, **data)


def test_a_referral_is_rewarded_on_the_first_purchase() -> None:
    till = Till(program(earn=[], referral=REFERRAL, tiers=TIERS))
    assert refer(till, "b", "a", "2017-01-01T00:00:00Z") == "applied"
    assert "a" not in till.model.members  # being named opens nothing
    till.buy("b", "2017-03-02T00:00:00Z", "o1", 1500, 500)  # the last instant of 60 days
    assert till.of("a", "2017-03-02T00:00:00Z", "pending", "tier") == (100, "none")
    assert till.of("a", "2017-03-09T00:00:00Z", "available") == (100,)
    assert till.of("b", "2017-03-09T00:00:00Z", "available") == (50,)
    assert till.of("b", "2017-09-09T00:00:00Z", "available", "expired") == (0, 50)
    till.buy("b", "2017-03-03T00:00:00Z", "o2", 5000)
    assert till.of("a", "2017-03-09T00:00:00Z", "granted") == (100,)


def test_each_reward_of_a_referral_has_moments_of_its_own() -> None:
    rewards = {
        "referrer": {"fixed": 100, "activation": {"after": "P1D"}},
        "referee": {"fixed": 50, "activation": "immediately", "expiry": {"after": "P2D"}},
    }
    till = Till(program(earn=[], referral=REFERRAL | rewards))
    refer(till, "b", "a", "2017-01-01T00:00:00Z")
    till.buy("b", "2017-01-10T00:00:00Z", "o1", 2000)
    assert till.of("a", "2017-01-10T00:00:00Z", "available", "pending") == (0, 100)
    assert till.of("a", "2017-01-11T00:00:00Z", "available", "pending") == (100, 0)
    assert till.of("b", "2017-01-10T00:00:00Z", "available", "pending") == (50, 0)
    assert till.of("b", "2017-01-12T00:00:00Z", "available", "expired") == (0, 50)
    assert till.of("a", "2017-07-11T00:00:00Z", "available", "expired") == (0, 100)


def test_a_first_purchase_that_does_not_qualify_closes_the_referral() -> None:
    till = Till(program(earn=[], referral=REFERRAL))
    refer(till, "b", "a", "2017-01-01T00:00:00Z")
    till.buy("b", "2017-01-02T00:00:00Z", "o1", 1999)
    till.buy("b", "2017-01-03T00:00:00Z", "o2", 9000)
    assert "a" not in till.model.members
    assert till.of("b", "2017-01-04T00:00:00Z", "granted") == (0,)


def test_referrals_that_are_refused() -> None:
    till = Till(program(earn=[], referral=REFERRAL))
    at = "2017-01-05T00:00:00Z"
    assert refer(till, "a", "a", at) == "refused(self_referral)"
    assert refer(till, "b", "a", at) == "applied"
    assert refer(till, "b", "a", at) == "duplicate"
    assert refer(till, "b", "a", "2017-01-06T00:00:00Z") == "conflict"
    assert refer(till, "b", "c", at) == "refused(already_referred)"
    assert refer(till, "a", "b", at) == "refused(cycle)"
    till.buy("d", "2017-01-04T00:00:00Z", "o1", 2000)
    assert refer(till, "d", "a", at) == "refused(existing_buyer)"


def test_a_referral_that_arrives_after_the_purchase_but_happened_before_it() -> None:
    till = Till(program(earn=[], referral=REFERRAL))
    till.buy("b", "2017-01-10T00:00:00Z", "o1", 2000)
    till.buy("a", "2017-12-01T00:00:00Z", "o2", 100)  # the referrer is far ahead
    assert refer(till, "b", "a", "2017-01-01T00:00:00Z") == "applied"
    # Granted, activated and expired in the past.
    assert till.of("a", "2017-01-10T00:00:00Z", "pending") == (100,)
    assert till.of("a", "2017-01-17T00:00:00Z", "available") == (100,)
    assert till.of("a", "2017-12-01T00:00:00Z", "granted", "expired") == (100, 100)


def test_a_referral_is_taken_back_when_the_order_no_longer_qualifies() -> None:
    till = Till(program(earn=[], referral=REFERRAL, returns={"policy": "debt"}))
    refer(till, "b", "a", "2017-01-01T00:00:00Z")
    till.buy("b", "2017-01-10T00:00:00Z", "o1", 1500, 600)
    till.bring_back("b", "2017-01-11T00:00:00Z", "o1", "r1", l2=100)
    assert till.of("a", "2017-01-11T00:00:00Z", "pending") == (100,)
    till.bring_back("b", "2017-01-12T00:00:00Z", "o1", "r2", l2=1)
    assert till.of("a", "2017-01-12T00:00:00Z", "pending", "debt") == (0, 0)
    assert till.of("b", "2017-01-12T00:00:00Z", "pending", "debt") == (0, 0)


def survey(till: Till, member: str, time: str, completion_id: str) -> str:
    data = {"survey_id": "s", "completion_id": completion_id}
    return till.send("survey.completed.v1", member, time, **data)


SURVEY = [{"id": "s", "award": {"fixed": 200}, "activation": "immediately"}]


def test_an_activity_is_refused_for_no_rule_is_on_one() -> None:
    till = Till(program())
    review = {"activity": "review", "reference": "r1"}
    assert till.send("activity.completed.v1", "m", "2017-02-01T12:00:00Z", **review) == (
        "refused(unknown_activity)"
    )


def test_one_reward_per_survey() -> None:
    till = Till(program(surveys=SURVEY))
    assert survey(till, "m", "2017-02-01T12:00:00Z", "c1") == "applied"
    assert till.of("m", "2017-02-01T12:00:00Z", "available", "pending") == (200, 0)
    assert survey(till, "m", "2017-02-01T12:00:00Z", "c1") == "duplicate"
    assert survey(till, "m", "2017-02-02T12:00:00Z", "c2") == "refused(already_rewarded)"
    assert till.of("m", "2017-08-01T12:00:00Z", "available", "expired") == (0, 200)


def test_the_reward_of_a_referral_pays_the_debt_together_with_the_welcome() -> None:
    levels = [{"id": "silver", "at_least": 1, "welcome": 20}]
    tiers = {"qualify_by": {"purchases": {"window": "lifetime"}}, "levels": levels}
    reward = {"fixed": 7, "expiry": {"after": "P3Y"}}
    referral = {"qualifies": {"first_purchase": {"at_least": 0}}, "referee": reward}
    till = Till(program(activation="immediately", earn=[], tiers=tiers, referral=referral))
    refer(till, "b", "a", "2017-01-10T00:00:00Z")
    data = {"points": -15, "allow_debt": True, "actor": "office", "reason": "asked for"}
    till.send("command.adjust.v1", "b", "2017-01-11T00:00:00Z", **data)
    till.buy("b", "2017-01-12T00:00:00Z", "o1", 100)
    assert till.of("b", "2017-01-12T00:00:00Z") == (12, 0, 0, 0)
    assert till.of("b", "2018-01-01T00:00:00Z") == (7, 0, 5, 0), "the welcome's are used up first"


def redeem(till: Till, step: str, time: str, redemption_id: str, **data: Any) -> str:
    kind = f"redemption.{step}.v1"
    return till.send(kind, "m", time, redemption_id=redemption_id, **data)


def test_returns_in_parts_settle_exactly() -> None:
    till = Till(program(returns={"policy": "debt"}))
    till.buy("m", "2017-01-10T00:00:00Z", "o1", 1000)  # 10 points
    for n, left in enumerate((7, 4, 1), start=1):  # floor(3.33), floor(6.66), floor(9.99) taken
        till.bring_back("m", "2017-01-11T00:00:00Z", "o1", f"r{n}", l1=333)
        # floor favours the member
        assert till.of("m", "2017-01-11T00:00:00Z", "pending") == (left,)
    assert till.bring_back("m", "2017-01-11T00:00:00Z", "o1", "r4", l1=2) == (
        "refused(returned_more_than_bought)"
    )
    till.bring_back("m", "2017-01-11T00:00:00Z", "o1", "r5", l1=1)
    assert till.of("m", "2017-01-11T00:00:00Z", "pending", "debt") == (0, 0)
    assert till.bring_back("m", "2018-01-10T00:00:01Z", "o1", "r6") == (
        "refused(return_window_over)"
    )


def test_a_clawback_after_spending_is_a_debt_that_the_next_points_pay() -> None:
    till = Till(program(returns={"policy": "debt"}))
    till.buy("m", "2017-01-01T00:00:00Z", "o1", 30000)  # 300, available on the 8th
    redeem(till, "reserve", "2017-01-10T00:00:00Z", "x", points=250)
    redeem(till, "confirm", "2017-01-10T00:00:00Z", "x")
    till.bring_back("m", "2017-01-11T00:00:00Z", "o1", "r1")
    assert till.of("m", "2017-01-11T00:00:00Z") == (-250, 0, 0, 250)
    till.buy("m", "2017-01-12T00:00:00Z", "o2", 30000)
    assert till.of("m", "2017-01-18T00:00:00Z") == (-250, 300, 0, 250)
    assert till.of("m", "2017-01-19T00:00:00Z") == (50, 0, 0, 0)
    assert till.of("m", "2018-01-01T00:00:00Z") == (0, 0, 50, 0)


@pytest.mark.parametrize(
    ("returns", "balance"),
    [
        ({"policy": "debt", "debt_limit": 60}, (-60, 0, 0, 60)),
        ({"policy": "within_balance"}, (0, 0, 0, 0)),
        # 300 of the second purchase are pending, and taken; the 50 that are spendable stay.
        ({"policy": "only_pending"}, (50, 50, 0, 0)),
    ],
)
def test_the_return_policies(returns: Document, balance: tuple[int, ...]) -> None:
    till = Till(program(returns=returns))
    till.buy("m", "2017-01-01T00:00:00Z", "o1", 30000)
    redeem(till, "reserve", "2017-01-10T00:00:00Z", "x", points=250)
    redeem(till, "confirm", "2017-01-10T00:00:00Z", "x")
    pending = 35000 if returns["policy"] == "only_pending" else 5000
    till.buy("m", "2017-01-10T00:00:00Z", "o2", pending)
    till.bring_back("m", "2017-01-11T00:00:00Z", "o1", "r1")
    assert till.of("m", "2017-01-11T00:00:00Z") == balance


def test_points_that_expired_unspent_count_as_taken_back() -> None:
    till = Till(program(expiry={"after": "P1M"}, returns={"policy": "debt"}))
    till.buy("m", "2017-01-01T00:00:00Z", "o1", 10000)  # 100; 40 spent, 60 expire
    redeem(till, "reserve", "2017-01-10T00:00:00Z", "x", points=40)
    redeem(till, "confirm", "2017-01-10T00:00:00Z", "x")
    till.bring_back("m", "2017-03-01T00:00:00Z", "o1", "r1", l1=5000)
    assert till.of("m", "2017-03-01T00:00:00Z") == (0, 0, 60, 0)
    till.bring_back("m", "2017-03-02T00:00:00Z", "o1", "r2", l1=5000)
    assert till.of("m", "2017-03-02T00:00:00Z") == (-40, 0, 60, 40)


def test_a_return_that_comes_before_its_purchase_waits() -> None:
    till = Till(program(returns={"policy": "debt"}))
    assert till.bring_back("m", "2017-01-11T00:00:00Z", "o1", "r1", l1=500) == "waiting"
    assert till.buy("m", "2017-01-10T00:00:00Z", "o1", 1000) == "applied"
    assert till.model.members["m"].waited == {"r1": "applied"}
    assert till.of("m", "2017-01-11T00:00:00Z", "pending") == (5,)
    till.bring_back("m", "2017-01-12T00:00:00Z", "o2", "r2")
    till.buy("m", "2018-01-12T00:00:00Z", "o2", 1000)
    assert till.model.members["m"].waited["r2"] == "refused(return_window_over)"


REDEMPTION = {"minimum": 10, "step": 5, "reservation_ttl": "PT30M", "restore_grace": "P7D"}


def test_reservations() -> None:
    till = Till(program(surveys=SURVEY, redemption=REDEMPTION))
    survey(till, "m", "2017-02-01T12:00:00Z", "c1")
    refused = [
        redeem(till, "reserve", "2017-02-02T00:00:00Z", f"x{points}", points=points)
        for points in (5, 11, 205)
    ]
    assert refused == [
        "refused(below_minimum)",
        "refused(not_a_step)",
        "refused(not_enough_points)",
    ]
    redeem(till, "reserve", "2017-02-02T00:00:00Z", "a", points=100)
    assert till.of("m", "2017-02-02T00:29:59Z", "available", "reserved") == (100, 100)
    assert till.of("m", "2017-02-02T00:30:00Z", "available", "reserved") == (200, 0)
    assert redeem(till, "confirm", "2017-02-02T00:30:00Z", "a") == "refused(redemption_closed)"
    redeem(till, "reserve", "2017-02-03T00:00:00Z", "b", points=100)
    redeem(till, "confirm", "2017-02-03T00:00:00Z", "b", points=60)
    assert till.of("m", "2017-02-03T00:00:00Z", "available", "reserved") == (140, 0)


def test_what_expired_while_it_was_reserved_lives_on_for_the_grace() -> None:
    till = Till(program(surveys=SURVEY, redemption=REDEMPTION))
    survey(till, "m", "2017-02-01T12:00:00Z", "c1")  # expires on 1 August, 12:00
    redeem(till, "reserve", "2017-08-01T11:45:00Z", "a", points=50)
    assert till.of("m", "2017-08-01T12:00:00Z", "available", "reserved", "expired") == (0, 50, 150)
    redeem(till, "cancel", "2017-08-01T12:10:00Z", "a")
    assert till.of("m", "2017-08-08T12:09:59Z", "available", "expired") == (50, 150)
    assert till.of("m", "2017-08-08T12:10:00Z", "available", "expired") == (0, 200)


def test_the_soonest_expiring_points_are_spent_first() -> None:
    rule = {"id": "quick", "award": {"fixed": 30}, "expiry": {"after": "P1M"}}
    slow = {"id": "slow", "award": {"fixed": 30}, "expiry": "never"}
    till = Till(program(earn=[slow, rule], activation="immediately"))
    till.buy("m", "2017-01-01T00:00:00Z", "o1", 100)
    redeem(till, "reserve", "2017-01-02T00:00:00Z", "a", points=40)
    redeem(till, "confirm", "2017-01-02T00:00:00Z", "a")
    assert till.of("m", "2020-01-01T00:00:00Z", "available", "expired") == (20, 0)


def test_points_spent_on_what_comes_back_are_restored() -> None:
    till = Till(program(earn=[], surveys=SURVEY, redemption=REDEMPTION, returns={"policy": "debt"}))
    survey(till, "m", "2017-02-01T12:00:00Z", "c1")
    redeem(till, "reserve", "2017-02-02T00:00:00Z", "a", points=100)
    redeem(till, "confirm", "2017-02-02T00:00:00Z", "a")
    till.buy("m", "2017-02-02T00:01:00Z", "o1", 300, 100, redemption_id="a")  # 75 and 25
    till.bring_back("m", "2017-02-03T00:00:00Z", "o1", "r1", l1=100)
    assert till.of("m", "2017-02-03T00:00:00Z", "available") == (125,)
    till.bring_back("m", "2017-02-04T00:00:00Z", "o1", "r2")
    assert till.of("m", "2017-02-04T00:00:00Z", "available") == (200,)
    assert till.of("m", "2017-08-01T12:00:00Z", "available", "expired") == (0, 200)


def test_an_input_counts_once() -> None:
    till = Till(program())
    assert till.buy("m", "2016-12-31T23:59:59Z", "o0", 100) == "dead_lettered(no_program)"
    assert till.buy("m", "2017-01-01T00:00:00Z", "o1", 100) == "applied"
    assert till.buy("m", "2017-01-01T00:00:00Z", "o1", 100) == "duplicate"
    assert till.buy("m", "2017-01-01T00:00:00Z", "o1", 200) == "conflict"
    assert till.of("m", "2017-01-01T00:00:00Z", "granted") == (1,)


@pytest.mark.parametrize(
    "section",
    [
        {"gifts": []},
        {"earn": [{"id": "x", "award": {"rate": {"points": 0.5, "per_amount": 100}}}]},
        {"earn": [{"id": "x", "award": {"multiplier": {"of": "y", "by": 2}}}]},
        {"earn": [{"id": "x", "award": {"fixed": 1}, "when": {"mood": "good"}}]},
        {"activation": {"unless": "shipped", "within": "P7D"}},
        {"expiry": {"after_activity": "P6M"}},
        {"redemption": {"maximum_points": 5}},
        {"rewards": [{"id": "cup", "points": 1, "kind": "gift", "colour": "red"}]},
        {"tiers": TIERS | {"downgrade": {"to": "the_bottom"}}},
    ],
)
def test_what_the_model_does_not_follow_is_refused(section: Document) -> None:
    with pytest.raises(UnsupportedError):
        ReferenceProgram(program(**section))


def test_asking_changes_nothing() -> None:
    till = Till(program())
    till.buy("m", "2017-01-01T00:00:00Z", "o1", 1000)
    before = till.model.state("m", datetime(2017, 1, 1, tzinfo=UTC))
    till.model.state("m", datetime(2030, 1, 1, tzinfo=UTC))
    assert till.model.state("m", datetime(2017, 1, 1, tzinfo=UTC)) == before


@pytest.mark.parametrize("rewarded", ["a", "b"])
def test_of_two_referrals_that_a_merge_brings_together_the_rewarded_one_stays(
    rewarded: str,
) -> None:
    till = Till(program(earn=[], referral=REFERRAL))
    refer(till, "a", "x", "2017-01-01T00:00:00Z")
    refer(till, "b", "y", "2017-01-01T00:00:00Z")
    till.buy(rewarded, "2017-01-02T00:00:00Z", "o1", 2000)
    merge = {"into": "b", "actor": "office", "reason": "two cards"}
    assert till.send("command.merge.v1", "a", "2017-01-03T00:00:00Z", **merge) == "applied"
    till.buy("b", "2017-01-04T00:00:00Z", "o2", 2000)
    by, not_by = ("x", "y") if rewarded == "a" else ("y", "x")
    assert till.of(by, "2017-01-10T00:00:00Z", "granted") == (100,)
    assert not_by not in till.model.members
    assert refer(till, by, "b", "2017-01-05T00:00:00Z") == "refused(cycle)"
    assert refer(till, not_by, "b", "2017-01-05T00:00:00Z") == "applied"
    assert till.of("b", "2017-01-10T00:00:00Z", "available") == (50,)
