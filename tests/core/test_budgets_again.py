"""Budgets and promo codes by random programs: deciding again from what an event keeps gives the
same bytes, nothing is used beyond what there was, and a whole return gives all of it back."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.account import Account
from ledger.core.decide import decide
from ledger.core.rules.budgets import moves_of, short_of
from schemas import inputs
from schemas.decisions import (
    AccountEvent,
    BudgetShare,
    CodeFact,
    Facts,
    PurchaseReturned,
    PurchaseRewarded,
)
from schemas.log_events import decode_event, encode_event
from tests.core.account_tools import MINIMAL, at, moment, timeline
from tests.core.test_budgets import BUDGETS
from tests.core.test_promo_codes import CODE, OTHER, SERIES

PLENTY = 10**6

RULES = st.tuples(
    st.sampled_from(
        [
            "fixed: 10",
            "fixed: 70",
            "rate: {points: 3, per_amount: 100}",
            "multiplier: {of: base, by: 2}",
            "multiplier: {of: PREVIOUS, by: 3}",
        ]
    ),
    st.sampled_from(["", "stacking: add, ", "stacking: {best_of_group: g}, "]),
    st.sampled_from(["", "limits: [{points: 30, per: day}], ", "limits: [{times: 1, per: day}], "]),
    st.sampled_from(["", "budget: spring, ", "budget: gifts, "]),
    st.sampled_from(
        [
            "",
            "when: {promo_code: letter}, ",
            "when: {promo_code: [radio, poster]}, ",
            "when: {promo_code: [radio, letter, plain]}, ",
        ]
    ),
)
CODES = st.lists(
    st.sampled_from([CODE, OTHER, "radio", "spring26", "plain", "nonsense"]),
    max_size=4,
    unique=True,
)
STATUSES = st.sampled_from(["ok", "spent", "not_yours", None])
PURCHASES = st.tuples(
    CODES,
    st.integers(0, 150),
    st.integers(0, 2),
    st.integers(0, 1),
    st.tuples(STATUSES, STATUSES),
    st.sampled_from(["2017-01-10", "2017-02-10", "2017-03-10", "2017-05-10"]),
    st.booleans(),
)


def text_of(rules: list[tuple[str, ...]]) -> str:
    text, previous = MINIMAL, "base"
    for number, (award, *rest) in enumerate(rules):
        award = award.replace("PREVIOUS", previous)
        text += f"  - {{id: r{number}, {''.join(rest)}award: {{{award}}}}}\n"
        previous = f"r{number}"
    return text + SERIES + BUDGETS


def facts_of(rooms: dict[str, int], codes: list[str], status: dict[str, str | None]) -> Facts:
    known = [
        CodeFact(place, of, "radio" if code == "radio" else "letter")
        for place, code in enumerate(codes)
        if (of := status.get(code)) is not None
    ]
    return Facts(
        budgets=tuple(BudgetShare(*each) for each in rooms.items()),
        codes=tuple(known),
    )


def used_by(event: AccountEvent) -> dict[str, int]:
    used: dict[str, int] = {}
    for move in moves_of(event):
        used[move.budget] = used.get(move.budget, 0) + move.amount
    return used


def head(event_id: str, day: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "t",
        "time": moment(day),
        "subject": "m1",
    }


@given(st.lists(RULES, min_size=1, max_size=5), st.lists(PURCHASES, min_size=1, max_size=5))
def test_facts_decide_again_and_nothing_is_used_beyond_them(
    rules: list[tuple[str, ...]], purchases: list[Any]
) -> None:
    programs = timeline(text_of(rules))
    program = programs.at(at("2017-03-01"))
    account = Account.new("m1")
    for number, (codes, spring, gifts, radio, (one, other), day, back) in enumerate(purchases):
        rooms = {"gifts": gifts, "promo_codes/radio": radio, "spring": spring}
        status = {CODE: one, OTHER: other, "radio": "ok" if radio else "spent"}
        had = facts_of(rooms, codes, status)
        line = (inputs.PurchaseLine("1", "s", 1000),)
        data = inputs.PurchaseData(
            f"o{number}", "s1", "store", "RUB", line, promo_codes=tuple(codes)
        )
        event = inputs.PurchaseCompleted(**head(str(number), day), data=data)
        before = account.fork()
        events = decide(account, event, at(day), programs, had)
        rewarded = events[-1]
        assert isinstance(rewarded, PurchaseRewarded)
        kept = decode_event(encode_event(rewarded))
        assert isinstance(kept, PurchaseRewarded)
        again = decide(before.fork(), event, at(day), programs, kept.facts or Facts())
        assert [encode_event(e) for e in again] == [encode_event(e) for e in events]
        used = used_by(rewarded)
        assert all(amount <= rooms[budget] for budget, amount in used.items())
        assert all(need > left for _, need, left in short_of(rewarded, program))
        full = facts_of(dict.fromkeys(rooms, PLENTY), codes, {**status, "radio": "ok"})
        plenty = decide(before.fork(), event, at(day), programs, full)
        assert not short_of(plenty[-1], program)
        if back:
            data_back = inputs.ReturnData(f"o{number}", f"r{number}")
            returned = inputs.PurchaseReturned(**head(f"r{number}", day), data=data_back)
            given_back = decide(account, returned, at(day), programs)[-1]
            assert isinstance(given_back, PurchaseReturned)
            assert {b: -amount for b, amount in used_by(given_back).items()} == used
            assert given_back.codes == rewarded.codes
