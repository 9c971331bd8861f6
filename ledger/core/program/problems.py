"""What is wrong with a program file: a list of problems with code, path, line and sentence.

All problems of a file are told at once, in the order of its lines. Codes never change meaning;
CODES lists them, for the docs too.
"""

from collections.abc import Sequence

from msgspec import Struct

PROBLEMS_MAX = 100
"""Most problems told of one file: more do not help to mend it."""

CODES = {
    "activation_kinds": "an activation that is none of its kinds, or several",
    "alias_refused": "a YAML anchor or alias",
    "award_kinds": "an award that is none of its kinds, or several",
    "bad_duration": "no ISO 8601 duration, or one longer than 100 years",
    "bad_expression": "an expression that cannot be read, names something unknown, compares two"
    " lists, or fails",
    "bad_key": "a key that is no plain text",
    "bad_moment": "a date that does not exist, has no offset, or lies outside 1970 to 2999",
    "bad_number": "no exact number",
    "bad_value": "a value of another type, or out of range",
    "budget_kinds": "a budget of neither points nor times, or of both",
    "code_of_series": "a promo code of a series where the series is to be named",
    "debt_limit_unused": "a debt limit under a policy that makes no debt",
    "duplicate_code": "a promo code that another series has",
    "duplicate_id": "an id that is taken",
    "duplicate_key": "a key given twice",
    "empty_code": "a promo code of blanks and hyphens only",
    "empty_condition": "a condition that asks nothing, or that nothing can fulfil",
    "empty_duration": "a duration of no length where that makes no sense",
    "empty_validity": "`from` not before `to`",
    "empty_value": "a key without a value",
    "expiry_kinds": "an expiry that is none of its kinds, or several",
    "file_too_large": "more text than a program may have",
    "float_refused": "a floating-point number",
    "grace_missing": "`one_down` over a rolling window without a grace",
    "levels_not_rising": "a tier that needs no more than the one below it",
    "limit_kinds": "a limit of neither points nor times, or of both",
    "missing_key": "a key that must be there",
    "multiplier_below_one": "a multiplier below 1",
    "multiplier_cycle": "multipliers of each other",
    "multiplier_of_itself": "a multiplier of its own rule",
    "multiplier_of_later": "a multiplier of a rule further down",
    "multiplier_of_other": "a multiplier of a rule that never fires on the same input",
    "not_whole_days": "hours where whole days are counted",
    "override_kind": "an override of another kind than the rule's award",
    "override_nowhere": "an override that names no place",
    "purchase_only": "something of purchases in a rule on activities",
    "qualify_kinds": "none or several of the ways to qualify",
    "reserved_id": "an id that means something else",
    "reward_kinds": "a reward that is none of its kinds, or several, or for the wrong member",
    "rolling_too_long": "a rolling window and its grace of more than three years",
    "steps_not_rising": "a step of a table that does not begin above the one before",
    "tag_refused": "a YAML tag",
    "too_deep": "nesting deeper than any program's",
    "unknown_budget": "a reference to a budget that is not there",
    "unknown_event": "an activation by an input type that does not exist",
    "unknown_key": "a key that is not part of the form",
    "unknown_rule": "a reference to a rule that is not there",
    "unknown_segment": "a reference to a segment that is not there",
    "unknown_tier": "a reference to a tier that is not there",
    "unknown_time_zone": "no time zone of the IANA database",
    "window_kinds": "a window that is none of its kinds, or both",
    "yaml_syntax": "no YAML document",
}
"""Every code and what it means."""


class Problem(Struct, frozen=True, order=True):
    """One problem. `line` counts from 1; `path` names the key, as in `earn[2].award.rate`."""

    line: int
    path: str
    code: str
    message: str


class ProgramErrors(ValueError):
    """The program cannot be used. `str()` gives a line for each problem:
    `file:line: path: sentence [code]`."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        self.name = name
        self.problems = tuple(sorted(set(problems)))[:PROBLEMS_MAX]
        super().__init__(
            "\n".join(
                f"{name}:{each.line}: {f'{each.path}: ' if each.path else ''}"
                f"{each.message} [{each.code}]"
                for each in self.problems
            )
        )
