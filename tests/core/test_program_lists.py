"""Two lists in an expression are not compared with `==` or `!=`: the engine calls none equal."""

import pytest

from ledger.core.program.expressions import ExpressionError, Subject, compile_expression
from ledger.core.program.list_equality import check_list_equality
from ledger.core.program.samples import try_expression
from schemas.inputs import PurchaseData
from tests.core.program_texts import purchase_of


def of(purchase: PurchaseData) -> Subject:
    return Subject(purchase, sum(line.amount for line in purchase.lines), "none", 0, 0)


LISTS = [
    "purchase.promo_codes == ['A']",
    "['A', 'B'] == purchase.promo_codes",
    "purchase.promo_codes == purchase.promo_codes",
    "[] == []",
    "map(purchase.lines, #.sku) == ['milk']",
    "filter(purchase.lines, #.amount > 5) == []",
    "purchase.amount > 5 and (((purchase.promo_codes)) == (['A']))",
    "(purchase.promo_codes ?? []) == []",
    "(account.tier == 'gold' ? ['A'] : ['B']) == purchase.promo_codes",
    "(account.tier == 'gold' ? ['A'] : account.tier == 'x' ? [] : ['B']) == purchase.promo_codes",
    "some([['A'], ['B']], # == purchase.promo_codes)",
    "some(map(purchase.lines, [#.sku]), # == ['milk'])",
    "some(filter([['A']], len(#) > 0), (#) == ['A'])",
    "some([['A']], some([1], # == 1) and # == ['A'])",
    "some(([['A']]), # == ['A'])",
    "some([['A']], some(#, # == 'A') and some([#], # == ['A']))",
    "len(filter(purchase.lines, [#.sku] == ['milk'])) == 1",
    "purchase.promo_codes==['A']?true:false",
]


@pytest.mark.parametrize("text", LISTS)
def test_two_lists_are_not_compared(text: str) -> None:
    said = try_expression(text)
    assert said is not None
    assert "compares two lists, which never holds" in said, said


def test_what_is_said_of_two_lists_names_them() -> None:
    said = try_expression("purchase.amount > 5 and  map(purchase.lines,  #.sku) != ['a' ] or true")
    assert said == (
        "the expression cannot be used: `map(purchase.lines,  #.sku) != ['a' ]` compares two lists,"
        " which always holds, whatever is in them; ask about their elements with some, all,"
        " contains or len"
    )


@pytest.mark.parametrize("text", LISTS)
def test_it_would_never_hold(text: str) -> None:
    """Why it is refused; when the engine learns to compare lists, the refusal can go."""
    whole = purchase_of((500, "TEA"), currency="XXX", promo_codes=("A",))
    assert not compile_expression(text).holds(of(whole))


@pytest.mark.parametrize(
    "text",
    [
        "len(purchase.promo_codes) == len(['A'])",
        "contains(purchase.promo_codes, 'A') == ('A' in ['A'])",
        "some(purchase.promo_codes, # == 'A')",
        "some(map(purchase.lines, #.sku), # == 'milk')",
        "some([['A']], some(#, # == 'A'))",
        "some([['A']], some([1], # == 1))",
        "some([1, 2], # == len(map(purchase.lines, [#.sku])))",
        "(account.tier == 'gold' ? 'A' : 'B') == (account.tier == 'gold' ? 'A' : 'C')",
        "some([['A'], 'A'], # == ['A'])",
        "some([['A'], 'A'], # == (account.tier == 'gold' ? ['A'] : 'A'))",
        "sum(map(purchase.lines, #.quantity)) == sum([1, 2])",
        "'[1] == [2]' != \"['a'] == ['b']\"",
        "(purchase.channel in ['web']) == (purchase.store_id in ['s'])",
        "all(['A'], 'A' == #) and purchase.channel != 'map'",
    ],
)
def test_what_is_no_comparison_of_two_lists(text: str) -> None:
    assert try_expression(text) is None


def test_lists_of_elements_inside_each_other_are_looked_through_once() -> None:
    """Looked through anew each time it would take 2^30 steps."""
    text = "some([['A']], " + "some([#, #], " * 30 + "# == ['A']" + ")" * 31
    with pytest.raises(ExpressionError, match="two lists"):
        check_list_equality(text)


def test_a_version_that_compares_lists_can_still_be_replayed() -> None:
    """It may have been published before this was refused."""
    assert compile_expression("purchase.promo_codes == ['A'] or true").holds(
        of(purchase_of((100, None)))
    )
