"""Conditions as an account meets them: the nth purchase, the clock of the zone, lines by all that
is asked of them, the balance before."""

from decimal import Decimal

import pytest

from schemas import inputs
from schemas.decisions import PurchaseRewarded
from tests.core.account_tools import MINIMAL, Member, moment, timeline

BERLIN = MINIMAL.replace("time_zone: UTC", "time_zone: Europe/Berlin")


def member_of(rule: str, text: str = MINIMAL) -> Member:
    """A member under one more rule, `r`, that awards 1000."""
    return Member(timeline(f"{text}  - {{id: r, award: {{fixed: 1000}}, {rule}}}\n"))


def fired(member: Member) -> bool:
    """Whether `r` awarded something on the latest purchase."""
    bought = [event for event in member.events if isinstance(event, PurchaseRewarded)][-1]
    return any(award.rule == "r" and award.points == 1000 for award in bought.awards)


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [("is: 1", [1]), ("is: 3", [3]), ("every: 2", [2, 4, 6]), ("is: 4, every: 2", [4])],
)
def test_purchases_are_counted_from_the_first(condition: str, numbers: list[int]) -> None:
    member = member_of(f"when: {{nth_purchase: {{{condition}}}}}")
    found = []
    for number in range(1, 7):
        member.buy("2017-01-02", f"X{number}", 100)
        if fired(member):
            found.append(number)
        # What comes back was a purchase all the same.
        member.give_back("2017-01-02", f"X{number}", f"r{number}")
    assert found == numbers


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("from: '08:00', to: '10:30'", ["08:00:00", "10:29:59"], ["07:59:59", "10:30:00"]),
        ("from: '22:00', to: '02:15'", ["22:00:00", "23:59:59", "00:00:00", "02:14:59"],
         ["21:59:59", "02:15:00", "12:00:00"]),
        ("from: '18:00', to: '24:00'", ["18:00:00", "23:59:59"], ["00:00:00", "17:59:59"]),
        ("from: '00:00', to: '00:01'", ["00:00:00", "00:00:59"], ["00:01:00", "23:59:59"]),
    ],
)  # fmt: skip
def test_hours_begin_with_the_first_minute_and_end_before_the_last(
    hours: str, inside: list[str], outside: list[str]
) -> None:
    for clock in (*inside, *outside):
        member = member_of(f"when: {{hours: {{{hours}}}}}")
        member.buy(f"2017-06-01T{clock}Z", "X", 100)
        assert fired(member) is (clock in inside), clock


def test_weekdays_and_hours_are_those_of_the_program_s_zone() -> None:
    rule = "when: {weekday: [mon], hours: {from: '00:00', to: '01:00'}}"
    for when, holds in (
        ("2017-06-04T22:00:00Z", True),  # Monday 00:00 in Berlin
        ("2017-06-04T21:59:59Z", False),  # Sunday
        ("2017-06-05T00:30:00Z", False),  # Monday 02:30
        ("2017-01-01T23:30:00Z", True),  # in winter an hour later
    ):
        member = member_of(rule, BERLIN)
        member.buy(when, "X", 100)
        assert fired(member) is holds, when


@pytest.mark.parametrize(
    ("lines", "matched"),
    [
        ("brand: A", ["1", "4"]),
        ("brand: [A, B]", ["1", "2", "4"]),
        ("sku: s2", ["2"]),
        ("category: TEA", ["1", "3"]),
        ("category: TEA, brand: A", ["1"]),
        ("category: [TEA, SOAP], sku: [s1, s2]", ["1", "2"]),
        ("amount: {at_least: 300}", ["3", "4"]),
        ("amount: {at_least: 200, at_most: 300}", ["2", "3"]),
        ("amount: {at_most: 200}", ["1", "2"]),
        ("brand: A, amount: {at_least: 101}", ["4"]),
        ("brand: [A], category: [TEA], sku: [s1], amount: {at_most: 100}", ["1"]),
        ("brand: C", []),
        ("{}", ["1", "2", "3", "4"]),
    ],
)
def test_a_line_counts_when_all_that_is_asked_holds(lines: str, matched: list[str]) -> None:
    asked = lines if lines == "{}" else f"{{{lines}}}"
    rule = "  - {id: r, award: {rate: {points: 1, per_amount: 1}}, lines: " + asked + "}\n"
    member = Member(timeline(MINIMAL + rule))
    facts = (("s1", 100, "TEA", "A"), ("s2", 200, "SOAP", "B"), ("s3", 300, "TEA", None),
             ("s4", 400, None, "A"))  # fmt: skip
    bought = tuple(
        inputs.PurchaseLine(str(n), sku, amount, Decimal(1), category, brand)
        for n, (sku, amount, category, brand) in enumerate(facts, 1)
    )
    data = inputs.PurchaseData("X", "s", "store", "RUB", bought)
    event = member.send(
        inputs.PurchaseCompleted(
            specversion="1.0",
            id="1",
            source="t",
            time=moment("2017-01-02"),
            subject="m1",
            data=data,
        )
    )[-1]
    assert isinstance(event, PurchaseRewarded)
    found = [award for award in event.awards if award.rule == "r"]
    assert [str(share.line + 1) for award in found for share in award.lines] == matched
    assert sum(award.points for award in found) == sum(100 * int(line) for line in matched)


@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ("at_least: 20", True), ("at_least: 21", False), ("at_most: 20", True),
        ("at_most: 19", False), ("at_least: 20, at_most: 20", True),
    ],
)  # fmt: skip
def test_the_balance_is_what_is_available_before_net_of_debt(bounds: str, holds: bool) -> None:
    text = MINIMAL + "surveys: [{id: s, award: {fixed: 30}}]\nreturns: {policy: debt}\n"
    head, _, rest = text.partition("surveys")
    rule = f"  - {{id: r, award: {{fixed: 1000}}, when: {{balance: {{{bounds}}}}}}}\n"
    member = Member(timeline(f"{head}{rule}surveys{rest}"))
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-02", "v", 10)
    member.buy("2017-01-02", "X", 100)
    assert fired(member) is holds


def test_where_a_purchase_was_made_and_how_it_was_paid() -> None:
    place = {"region": "north", "partner_id": "p", "payment_type": "card", "promo_codes": ("A",)}
    for condition, holds in (
        ("store: s1", True), ("store: [s2, s3]", False), ("channel: store", True),
        ("channel: web", False), ("region: [north]", True), ("region: south", False),
        ("partner: p", True), ("partner: q", False), ("payment_type: card", True),
        ("payment_type: [cash]", False), ("promo_code: [A, B]", True), ("promo_code: B", False),
        ("store: s1, region: south", False), ("purchase_amount: {at_least: 100}", True),
        ("purchase_amount: {at_least: 101}", False), ("purchase_amount: {at_most: 99}", False),
        ("expression: purchase.amount == 100, store: s1", True), ("tier: none", False),
    ):  # fmt: skip
        tiers = (
            "tiers:\n  qualify_by: {purchases: {window: lifetime}}\n"
            "  levels: [{id: a, at_least: 1}]\n"
        )
        rule = f"  - {{id: r, award: {{fixed: 1000}}, when: {{{condition}}}}}\n"
        member = Member(timeline(MINIMAL + rule + tiers))
        member.buy("2017-01-01", "W", 1)
        member.buy("2017-01-02", "X", 100, **place)
        assert fired(member) is holds, condition
