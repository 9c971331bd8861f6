"""Comparisons of two lists with `==` or `!=`, which the engine answers without looking at them.

It calls no list equal to another, not even to itself: a rule that says so would never fire, or
always, and nobody would be told. What cannot be seen to be a list is left alone. Only asked when a
program is checked: versions that are in the log stay as they are.
"""

from collections.abc import Iterator

from ledger.core.program.tokens import FUNCTIONS, ExpressionError, Token, tokens_of

LIST_FIELDS = frozenset({"lines", "promo_codes"})
"""Fields of `purchase`; no field of `account` or of a line is a list."""

LIST_FUNCTIONS = frozenset({"map", "filter"})
"""What they yield is a list."""

ELEMENT_FUNCTIONS = LIST_FUNCTIONS | {"some", "all", "none", "one", "count"}
"""Their second argument is asked of each element (`#`) of the first."""

_ANSWERS = {"==": "never holds", "!=": "always holds"}

Span = tuple[int, int]
"""The tokens from the first to before the second."""


def check_list_equality(text: str) -> None:
    """`text` is one that compiles. Raises ExpressionError for a comparison of two lists."""
    tokens = tokens_of(text)
    reader = _Reader(tokens)
    for i, token in enumerate(tokens):
        if token.kind != "sign" or token.text not in _ANSWERS:
            continue
        left, right = reader.operand_before(i), reader.operand_after(i)
        if reader.is_list(left) and reader.is_list(right):
            shown = text[tokens[left[0]].start : tokens[right[1] - 1].end]
            raise ExpressionError(
                f"`{shown}` compares two lists, which {_ANSWERS[token.text]}, whatever is in them;"
                " ask about their elements with some, all, contains or len"
            )


class _Reader:
    """Sees which parts of a text are lists. Its brackets are in order: the engine compiled it."""

    def __init__(self, tokens: list[Token]) -> None:
        self._texts = ["''" if token.kind == "text" else token.text for token in tokens]
        self._partner: dict[int, int] = {}
        self._elements: dict[int, bool] = {}
        opened: list[int] = []
        for i, text in enumerate(self._texts):
            if text in ("(", "["):
                opened.append(i)
            elif text in (")", "]"):
                self._partner[i] = opened.pop()
                self._partner[self._partner[i]] = i

    def operand_before(self, sign: int) -> Span:
        """What ends right before a sign: a value, not what is reckoned from several."""
        first = self._partner.get(sign - 1, sign - 1)
        if first > 0 and self._texts[first] == "(" and self._texts[first - 1] in FUNCTIONS:
            first -= 1
        elif first > 1 and self._texts[first - 1] == ".":
            first -= 2
        return first, sign

    def operand_after(self, sign: int) -> Span:
        """What begins right after a sign."""
        last = sign + 1
        after = self._texts[last + 1] if last + 1 < len(self._texts) else ""
        if self._texts[last] in FUNCTIONS and after == "(":
            last += 1
        elif after == ".":
            last += 2
        return sign + 1, self._partner.get(last, last) + 1

    def is_list(self, span: Span) -> bool:
        """Whether it is a list, whichever way its choices (`? :`, `??`) go."""
        values: list[Span] = []
        first = span[0]
        for i in self._outside(span, ("?", ":", "??")):
            if self._texts[i] != "?":  # what stands before it is a condition
                values.append((first, i))
            first = i + 1
        return all(self._is_list_value(value) for value in (*values, (first, span[1])))

    def _is_list_value(self, span: Span) -> bool:
        first, end = span
        if end - first == 1:
            return self._texts[first] == "#" and self._is_list_element(first)
        if end - first == 3 and self._texts[first : first + 2] == ["purchase", "."]:
            return self._texts[first + 2] in LIST_FIELDS
        whole = self._partner.get(end - 1)
        if whole == first:
            return self._texts[first] == "[" or self.is_list((first + 1, end - 1))
        return whole == first + 1 and self._texts[first] in LIST_FUNCTIONS

    def _is_list_element(self, place: int) -> bool:
        """Whether the `#` at `place` stands for lists."""
        if place not in self._elements:  # else lists of `#` inside each other would take for ever
            self._elements[place] = self._stands_for_lists(place)
        return self._elements[place]

    def _stands_for_lists(self, place: int) -> bool:
        for opening in range(place - 1, 0, -1):
            if self._texts[opening - 1] not in ELEMENT_FUNCTIONS:
                continue
            asked, *of_each = self._arguments(opening)
            # In the first argument `#` is that of a call further out.
            if of_each and of_each[0][0] <= place < self._partner[opening]:
                return self._has_list_elements(asked)
        return False

    def _has_list_elements(self, span: Span) -> bool:
        first, end = span
        whole = self._partner.get(end - 1)
        if whole == first and self._texts[first] == "[":
            return all(self.is_list(element) for element in self._arguments(first))
        if whole == first:
            return self._has_list_elements((first + 1, end - 1))
        if whole != first + 1 or self._texts[first] not in LIST_FUNCTIONS:
            return False
        asked, of_each = self._arguments(whole)
        if self._texts[first] == "filter":
            return self._has_list_elements(asked)
        return self.is_list(of_each)

    def _arguments(self, opening: int) -> list[Span]:
        """What stands between a bracket and its partner, at the commas taken apart."""
        first, end = opening + 1, self._partner[opening]
        found: list[Span] = []
        for comma in self._outside((first, end), (",",)):
            found.append((first, comma))
            first = comma + 1
        return [*found, (first, end)] if first < end else found

    def _outside(self, span: Span, signs: tuple[str, ...]) -> Iterator[int]:
        """Where these signs stand in a span, outside of its brackets."""
        i, end = span
        while i < end:
            if self._texts[i] in signs:
                yield i
            i = self._partner.get(i, i) + 1
