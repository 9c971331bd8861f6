"""Conditions written as expressions: how one is compiled and run (zen-engine).

An expression sees the purchase, its lines and a little of the account, yields true or false and has
neither clock nor random numbers: what it may say stands in `ledger.core.program.tokens`. Numbers
are exact decimals inside the engine; only the fields an expression names are handed to it. It must
never be run on anything but the facts of one purchase.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

import zen
from msgspec import Struct

from ledger.core.program.tokens import (
    ExpressionError,
    Token,
    check_names,
    check_nesting,
    tokens_of,
)
from schemas.inputs import PurchaseData, PurchaseLine

__all__ = ["AmountTest", "Expression", "ExpressionError", "Subject", "compile_expression"]

_AMOUNT_TEST = re.compile(r"purchase\s*\.\s*amount\s*(>=|<=|==|>|<)\s*(\d{1,15})\s*")
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}

THOUSAND = 1_000
"""A quantity has three decimal places at most. The engine takes decimals only as floats and reads
some of them wrongly (4400.279 as 4400.279000000001), so it gets thousandths and divides them."""

AmountTest = tuple[Callable[[int, int], bool], int]


class Subject(Struct, frozen=True):
    """What an expression is asked about: a purchase (`amount`: its lines' sum, minor units) and
    the account before it (`purchases`: how many it had made)."""

    purchase: PurchaseData
    amount: int
    tier: str
    balance: int
    purchases: int


class Expression(Struct, frozen=True):
    """A checked expression. `amount_tests` are those of its parts, joined by `and`, that compare
    the purchase's amount with a number: all must hold, and they cost next to nothing. `parts`: the
    texts that stand between `and` and `or`, to be tried one by one."""

    text: str
    amount_tests: tuple[AmountTest, ...]
    parts: tuple[str, ...]
    purchase_fields: frozenset[str]
    account_fields: frozenset[str]
    line_fields: frozenset[str]
    program: Any

    def may_hold(self, amount: int) -> bool:
        """Whether its tests of the purchase's amount hold; if not, neither does the whole."""
        return False not in [compare(amount, number) for compare, number in self.amount_tests]

    def holds(self, subject: Subject) -> bool:
        """Whether it is true. Raises ExpressionError when it fails or yields anything else."""
        return self.may_hold(subject.amount) and self.evaluate(subject)

    def evaluate(self, subject: Subject) -> bool:
        """The same without the short cut over the amount: the whole text is run."""
        try:
            result = self.program.evaluate(self._names(subject))
        except RuntimeError as error:
            raise ExpressionError(_reason(error)) from None
        if result is not True and result is not False:
            raise ExpressionError("it does not yield true or false; compare it with something")
        return result

    def _names(self, subject: Subject) -> dict[str, Any]:
        purchase = subject.purchase
        facts: dict[str, Any] = {}
        for field in self.purchase_fields:
            if field == "amount":
                facts[field] = subject.amount
            elif field == "lines":
                facts[field] = [self._line(line) for line in purchase.lines]
            elif field == "promo_codes":
                facts[field] = list(purchase.promo_codes)
            else:
                facts[field] = getattr(purchase, field)
        names: dict[str, Any] = {"purchase": facts}
        if self.account_fields:
            names["account"] = {field: getattr(subject, field) for field in self.account_fields}
        return names

    def _line(self, line: PurchaseLine) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for field in self.line_fields:
            if field == "quantity":
                facts[field] = int(line.quantity * THOUSAND)
            else:
                facts[field] = getattr(line, field)
        return facts


def compile_expression(text: str) -> Expression:
    """Check and compile. Raises ExpressionError with a sentence that says what is wrong."""
    tokens = tokens_of(text)
    check_nesting(tokens)
    fields = check_names(tokens)
    try:
        program = zen.compile_expression(_with_thousandths(text, tokens))
    except RuntimeError as error:
        raise ExpressionError(_reason(error)) from None
    return Expression(
        text=text,
        amount_tests=_amount_tests(text, tokens),
        parts=_parts(text, tokens, ("and", "or")),
        purchase_fields=frozenset(fields["purchase"]),
        account_fields=frozenset(fields["account"]),
        line_fields=frozenset(fields["#"]),
        program=program,
    )


def _with_thousandths(text: str, tokens: list[Token]) -> str:
    """The text as the engine gets it: quantities of lines are divided by a thousand there."""
    parts, done = [], 0
    for i, token in enumerate(tokens):
        owner = tokens[i - 2] if i > 1 and tokens[i - 1].text == "." else None
        if token.text == "quantity" and owner is not None and owner.text == "#":
            parts += [text[done : owner.start], f"({text[owner.start : token.end]} / {THOUSAND})"]
            done = token.end
    return "".join([*parts, text[done:]])


def _parts(text: str, tokens: list[Token], words: tuple[str, ...]) -> tuple[str, ...]:
    """What stands between these words outside all brackets; the whole when that is not certain
    because a choice or a negation may reach over a word."""
    parts: list[str] = []
    start = depth = 0
    for token in tokens:
        if token.kind == "sign":
            depth += (token.text in "([") - (token.text in ")]")
        if depth:
            continue
        if token.text in ("not", "!", "?", ":", "??"):
            return (text,)
        if token.kind == "name" and token.text in words:
            parts.append(text[start : token.start])
            start = token.end
    return (*parts, text[start:])


def _amount_tests(text: str, tokens: list[Token]) -> tuple[AmountTest, ...]:
    """The parts like `purchase.amount >= 10000`, when the parts are joined by `and` alone."""
    joined = _parts(text, tokens, ("and",))
    if len(joined) != len(_parts(text, tokens, ("and", "or"))):
        return ()
    found = (_AMOUNT_TEST.fullmatch(part.strip()) for part in joined)
    return tuple((_COMPARE[test[1]], int(test[2])) for test in found if test)


def _reason(error: RuntimeError) -> str:
    # The engine appends a backtrace after the first line.
    first = str(error).split("\n", 1)[0]
    found = re.search(r'"source":"(.*?)"\}', first)
    return f"the expression engine says: {found[1] if found else first}"
