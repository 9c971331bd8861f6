"""The words of an expression: read one by one, and each a word that expressions may say.

What is not listed here is refused: the engine knows clocks, random numbers and more names than a
decision may depend on. Nothing is known here of what an expression means.
"""

import re

from msgspec import Struct

EXPRESSION_LENGTH_MAX = 2_000
"""Longest expression, in characters: a screen of text; the parser is not fed more."""

NESTING_MAX = 40
"""Deepest brackets: the engine's parser descends by recursion."""

# fmt: off
PURCHASE_FIELDS = (
    "amount", "lines", "store_id", "region", "channel", "payment_type", "partner_id",
    "promo_codes", "currency",
)
ACCOUNT_FIELDS = ("tier", "balance", "purchases")
LINE_FIELDS = ("sku", "category", "brand", "quantity", "amount")
FUNCTIONS = (
    "sum", "map", "filter", "some", "all", "none", "one", "count", "len", "abs", "floor", "ceil",
    "round", "trunc", "min", "max", "contains", "startsWith", "endsWith", "upper", "lower", "trim",
)
# fmt: on
"""Exact and depending on nothing but their arguments. Left out: clock, random, and inexact ones."""

_WORDS = frozenset({"and", "or", "not", "in", "true", "false", "null"})

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?![\w.])
    |(?P<name>[A-Za-z_]\w*)
    |(?P<text>"[^"\\]*"|'[^'\\]*')
    |(?P<sign>\?\?|>=|<=|==|!=|[-+*/%<>()\[\],.#?:!]))""",
    re.VERBOSE,
)


class ExpressionError(ValueError):
    """The expression cannot be used, or failed on a purchase; the message is a sentence."""


class Token(Struct, frozen=True):
    """A word of an expression and where it stands. `kind`: number, name, text or sign."""

    kind: str
    text: str
    start: int
    end: int


def tokens_of(text: str) -> list[Token]:
    """The words of an expression. Raises ExpressionError where it cannot be read."""
    if len(text) > EXPRESSION_LENGTH_MAX:
        raise ExpressionError(f"it is longer than {EXPRESSION_LENGTH_MAX} characters")
    tokens: list[Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            rest = text[at:].lstrip()
            raise ExpressionError(f"it cannot be read from {rest[:20]!r} on")
        kind = str(found.lastgroup)
        tokens.append(Token(kind, found[kind], found.start(kind), found.end()))
        at = found.end()
    if not tokens:
        raise ExpressionError("it is empty")
    return tokens


def check_nesting(tokens: list[Token]) -> None:
    """Raises ExpressionError for more than NESTING_MAX brackets in each other."""
    depth = 0
    for token in tokens:
        depth += (token.kind == "sign") * ((token.text in "([") - (token.text in ")]"))
        if depth > NESTING_MAX:
            raise ExpressionError(f"its brackets are nested more than {NESTING_MAX} deep")


def check_names(tokens: list[Token]) -> dict[str, set[str]]:
    """The fields named, by owner. Raises ExpressionError for a name that is not known."""
    known = {"purchase": PURCHASE_FIELDS, "account": ACCOUNT_FIELDS, "#": LINE_FIELDS}
    used: dict[str, set[str]] = {owner: set() for owner in known}
    texts = [*(token.text if token.kind != "text" else "''" for token in tokens), ""]
    for i, token in enumerate(tokens):
        before, after = texts[i - 1] if i else "", texts[i + 1]
        if token.kind == "name":
            if before == ".":
                owner = texts[i - 2]
                if token.text not in known[owner]:
                    raise ExpressionError(
                        f"{owner}.{token.text} is unknown; {owner} has {', '.join(known[owner])}"
                    )
                used[owner].add(token.text)
            elif after == "(" and token.text not in _WORDS:
                if token.text not in FUNCTIONS:
                    raise ExpressionError(
                        f"the function {token.text}() cannot be used; there are "
                        + ", ".join(FUNCTIONS)
                    )
            elif token.text in known:
                if after != ".":
                    raise ExpressionError(f"write {token.text}.something, not {token.text} alone")
            elif token.text not in _WORDS:
                raise ExpressionError(
                    f"the name {token.text} is unknown; there are purchase, account and, for "
                    "each element inside map, filter, some, all, none, one and count, #"
                )
        elif token.text == "." and before not in known:
            raise ExpressionError("a dot may follow only purchase, account or #")
        elif token.text == "[" and (before in (")", "]", "#") or _is_field(tokens, i - 1)):
            raise ExpressionError("elements have no numbers here; use map, filter, some or all")
    return used


def _is_field(tokens: list[Token], i: int) -> bool:
    return i > 0 and tokens[i].kind == "name" and tokens[i - 1].text == "."
