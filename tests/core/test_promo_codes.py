"""Promo codes: what a code is good for, which a purchase uses, and when they are given back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.code_files import codes_of, written
from ledger.core.program.promo_codes import normal
from ledger.core.promo_codes import (
    ALPHABET,
    CODE_CHARACTERS,
    check_character,
    digest,
    generated,
)
from schemas.decisions import (
    BudgetShare,
    CodeFact,
    CodeUse,
    Facts,
    PurchaseReturned,
    PurchaseRewarded,
)
from tests.core.account_tools import MINIMAL, Member, at, timeline
from tests.core.test_budgets import awards_of, bought

(CODE,) = codes_of([2**64 - 1])
(OTHER,) = codes_of([12_345])

SERIES = """promo_codes:
  - {id: letter}
  - {id: poster, code: SPRING-26, valid: {from: 2017-02-01T00:00:00Z, to: 2017-04-01T00:00:00Z}}
  - {id: radio, code: Radio, uses: 100, per_member: 2}
"""


def program(*rules: str, series: str = SERIES) -> str:
    """The smallest program with these series, and a rule for each but `rules`."""
    of = rules or tuple(
        f"id: {name}, award: {{fixed: {points}}}, when: {{promo_code: {name}}}"
        for name, points in (("letter", 50), ("poster", 7), ("radio", 3))
    )
    return MINIMAL + "".join(f"  - {{{rule}}}\n" for rule in of) + series


def buying(
    member: Member, *codes: str, order: str = "o", day: str = "2017-03-01", **facts: str
) -> PurchaseRewarded:
    """A purchase for 100.00 that names these codes; `facts`: by code, what is known of it."""
    known = tuple(
        CodeFact(codes.index(code), *of.split("/")) for code, of in facts.items() if code in codes
    )
    return bought(member, Facts(codes=known), order, promo_codes=codes, day=day)


def test_a_code_is_what_it_is_however_it_is_written() -> None:
    assert len(CODE) == CODE_CHARACTERS
    for text in (CODE, CODE.lower(), written(CODE), f" {written(CODE)} "):
        assert generated(text) == CODE
    assert written(CODE).count("-") == 2


@given(st.integers(0, 2**64 - 1), st.integers(0, CODE_CHARACTERS - 1), st.sampled_from(ALPHABET))
def test_a_wrong_character_is_found(number: int, place: int, character: str) -> None:
    (code,) = codes_of([number])
    assert generated(code) == code
    wrong = code[:place] + character + code[place + 1 :]
    assert (generated(wrong) is None) == (wrong != code)


@given(st.integers(0, 2**64 - 1), st.integers(0, CODE_CHARACTERS - 2))
def test_two_characters_that_changed_places_are_found(number: int, place: int) -> None:
    (code,) = codes_of([number])
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert (generated(swapped) is None) == (swapped != code)


def test_codes_are_as_many_as_numbers() -> None:
    numbers = [0, 1, 30, 31, 31**3, 2**63, 2**64 - 1]
    codes = list(codes_of(numbers))
    assert len(set(codes)) == len(numbers)
    assert all(check_character(code[:-1]) == code[-1] for code in codes)
    assert not set("01ILO") & set(ALPHABET)


def test_a_generated_code_is_used_and_named_by_its_digest() -> None:
    member = Member(timeline(program()))
    event = buying(member, written(CODE), **{written(CODE): "ok/letter"})
    assert awards_of(event)["letter"].points == 50
    assert event.codes == (CodeUse("letter", digest(CODE).hex()),)
    assert event.facts == Facts(codes=(CodeFact(0, "ok", "letter"),))


@pytest.mark.parametrize("status", ["spent", "not_yours"])
def test_a_code_that_is_no_good_earns_nothing_and_says_why(status: str) -> None:
    event = buying(Member(timeline(program())), CODE, **{CODE: f"{status}/letter"})
    assert awards_of(event).keys() == {"base"}
    assert event.codes == ()
    assert event.facts == Facts(codes=(CodeFact(0, status, "letter"),))


def test_a_wrong_code_is_unknown_and_the_purchase_stands() -> None:
    member = Member(timeline(program()))
    event = buying(member, "SPRUNG", CODE)
    assert event.facts == Facts(codes=(CodeFact(0, "unknown"), CodeFact(1, "unknown")))
    assert member.points == (100, 0, 0)


@pytest.mark.parametrize(
    ("day", "status"),
    [
        ("2017-01-31T23:59:59Z", "not_yet"),
        ("2017-02-01", "ok"),
        ("2017-03-31T23:59:59Z", "ok"),
        ("2017-04-01", "expired"),
    ],
)
def test_a_fixed_code_has_its_validity(day: str, status: str) -> None:
    event = buying(Member(timeline(program())), "spring 26", day=day)
    assert event.facts == Facts(codes=(CodeFact(0, status, "poster"),))
    assert ("poster" in awards_of(event)) == (status == "ok")
    assert event.codes == ((CodeUse("poster"),) if status == "ok" else ())


def test_uses_of_a_fixed_code_are_counted_by_a_budget() -> None:
    member = Member(timeline(program()))
    event = buying(member, "RADIO", RADIO="ok/radio")
    assert event.codes == (CodeUse("radio", "", "promo_codes/radio"),)
    assert buying(member, "RADIO", order="p", RADIO="spent/radio").codes == ()


def test_a_member_uses_a_series_so_many_times() -> None:
    member = Member(timeline(program()))
    for order in ("o1", "o2"):
        assert buying(member, "RADIO", order=order, RADIO="ok/radio").codes
    event = buying(member, "RADIO", order="o3", RADIO="ok/radio")
    assert event.facts == Facts(codes=(CodeFact(0, "used_by_member", "radio"),))
    member.give_back("2017-03-02", "o1", "r1")
    assert buying(member, "RADIO", order="o4", RADIO="ok/radio", day="2017-03-03").codes


def test_a_code_is_not_used_by_an_award_that_a_limit_leaves_nothing_of() -> None:
    rule = (
        "id: letter, award: {fixed: 50}, when: {promo_code: letter},"
        " limits: [{times: 1, per: lifetime}]"
    )
    member = Member(timeline(program(rule)))
    assert buying(member, CODE, order="o1", **{CODE: "ok/letter"}).codes
    assert buying(member, OTHER, order="o2", **{OTHER: "ok/letter"}).codes == ()


def test_a_generated_code_is_good_for_one_use_unless_its_series_says_more() -> None:
    series = SERIES + "  - {id: family, uses: 4}\n"
    compiled = timeline(program(series=series)).at(at("2017-03-01"))
    uses = {name: each.uses for name, each in compiled.series.items()}
    assert uses == {"letter": 1, "poster": None, "radio": 100, "family": 4}


def test_a_code_is_not_used_where_no_award_asks_for_it() -> None:
    rule = (
        "id: big, award: {fixed: 9}, when: {promo_code: letter, purchase_amount: {at_least: 20000}}"
    )
    event = buying(Member(timeline(program(rule))), CODE, **{CODE: "ok/letter"})
    assert event.codes == ()
    assert event.facts == Facts(codes=(CodeFact(0, "ok", "letter"),))


def test_two_rules_share_one_code_and_a_second_one_is_kept() -> None:
    rules = [f"id: r{n}, award: {{fixed: 9}}, when: {{promo_code: letter}}" for n in (1, 2)]
    event = buying(
        Member(timeline(program(*rules))), OTHER, CODE,
        **{CODE: "ok/letter", OTHER: "ok/letter"},
    )  # fmt: skip
    assert len(event.awards) == 3
    assert event.codes == (CodeUse("letter", digest(OTHER).hex()),)


def test_a_rule_takes_any_of_its_series_or_words() -> None:
    rule = "id: any, award: {fixed: 9}, when: {promo_code: [letter, poster, HELLO]}"
    programs = timeline(program(rule))
    assert buying(Member(programs), "HELLO").codes == ()
    assert buying(Member(programs), "HELLO").facts is None
    assert awards_of(buying(Member(programs), "HELLO"))["any"].points == 9
    assert "any" not in awards_of(buying(Member(programs), "hello"))
    assert buying(Member(programs), "HELLO", "SPRING26").codes == ()
    event = buying(Member(programs), CODE, "SPRING26", **{CODE: "spent/letter"})
    assert event.codes == (CodeUse("poster"),)


def test_codes_are_words_in_a_program_without_series() -> None:
    rule = "id: word, award: {fixed: 9}, when: {promo_code: letter}"
    event = buying(Member(timeline(program(rule, series=""))), "letter", CODE)
    assert awards_of(event)["word"].points == 9
    assert event.facts is None


def test_deciding_again_from_the_event_gives_the_same() -> None:
    programs = timeline(program())
    named = (CODE, "RADIO", "SPRING26", "nonsense", OTHER)
    known = {CODE: "ok/letter", OTHER: "not_yours/letter", "RADIO": "ok/radio"}
    event = buying(Member(programs), *named, **known)
    assert event.facts is not None
    assert bought(Member(programs), event.facts, promo_codes=named) == event


def test_what_a_series_is_the_program_of_the_purchase_says() -> None:
    gone = buying(Member(timeline(MINIMAL)), CODE, **{CODE: "spent/letter"})
    assert gone.facts == Facts(codes=(CodeFact(0, "unknown"),))
    fixed = buying(Member(timeline(program())), CODE, **{CODE: "ok/radio"})
    assert fixed.facts == Facts(codes=(CodeFact(0, "unknown"),))
    assert fixed.codes == ()


def test_codes_are_given_back_with_the_whole_order_only() -> None:
    member = Member(timeline(program()))
    used = buying(member, CODE, "RADIO", **{CODE: "ok/letter", "RADIO": "ok/radio"})
    *_, half = member.give_back("2017-03-02", "o", "r1", {"1": 5_000})
    assert isinstance(half, PurchaseReturned)
    assert (half.codes, half.budgets) == ((), ())
    *_, rest = member.give_back("2017-03-02", "o", "r2", {"1": 5_000})
    assert isinstance(rest, PurchaseReturned)
    assert rest.codes == used.codes
    assert rest.budgets == (BudgetShare("promo_codes/radio", 1),)
    assert normal("a-b c") == "ABC"


def test_an_order_of_which_points_are_let_go_gives_no_code_back() -> None:
    member = Member(timeline(program() + "returns: {policy: within_balance}\n"))
    buying(member, CODE, "RADIO", **{CODE: "ok/letter", "RADIO": "ok/radio"})
    member.reserve("2017-03-01", "v", 153)
    member.confirm("2017-03-01", "v")
    for name, lines in (("r1", {"1": 5_000}), ("r2", None)):
        *_, event = member.give_back("2017-03-02", "o", name, lines)
        assert isinstance(event, PurchaseReturned)
        assert (event.codes, event.budgets) == ((), ())
        member.buy("2017-03-02", f"p-{name}", 10_000)  # what comes later is not of this order
