"""Programs at the edges of what can be read: the longest, the largest, the deepest, the oddest."""

import pytest

from ledger.core.program.document import DEPTH_MAX, FILE_SIZE_MAX, read_document, write_document
from ledger.core.program.duration import Duration, Ratio, parse_duration, parse_ratio
from ledger.core.program.load import load_program
from tests.core.program_texts import HEAD, problems_of

RULE = "earn:\n- {id: base, award: {fixed: 5}}\n"


@pytest.mark.parametrize(
    "text",
    [
        "P100Y",
        "P99Y6M",
        "P36600D",
        "P5228W",
        "P1180M",
        "PT878400H",
        "P99Y11M25D",
        "P36600DT23H59M59S",
    ],
)
def test_durations_of_up_to_100_years_are_read(text: str) -> None:
    assert parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        *("P101Y", "P36601D", "P5229W", "P1181M", "PT878424H", "P99Y12M5D", "P100Y1D", "P100YT24H"),
        *("P36600DT24H", "P36600DT1440M", "P36600DT86400S", "P36599DT23H60M86400S"),
    ],
)
def test_longer_ones_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 100 years"):
        parse_duration(text)


def test_a_duration_adds_up_its_parts_and_has_one_normal_form() -> None:
    whole = parse_duration("P1Y2M3W4DT5H6M7S")
    assert whole == Duration(years=1, months=2, days=25, seconds=5 * 3600 + 6 * 60 + 7)
    assert (whole.months, whole.days, whole.seconds) == (14, 25, 18_367)
    assert str(whole) == "P1Y2M25DT5H6M7S"
    assert str(parse_duration("P12M")) == str(parse_duration("P1Y")) == "P1Y"
    assert str(parse_duration("PT90M")) == "PT1H30M"
    assert str(Duration()) == "PT0S"
    assert not Duration()
    assert all(Duration(**{part: 1}) for part in ("years", "months", "days", "seconds"))
    assert len({Duration(months=12), Duration(years=1), Duration(days=12)}) == 2
    assert Duration(days=1) != Duration(seconds=86_400), "a day in a zone may have 23 hours"


def test_a_ratio_is_exact_and_has_one_normal_form() -> None:
    assert parse_ratio("1.50") == parse_ratio("1.5") == Ratio(3, 2)
    assert len({parse_ratio("1.50"), parse_ratio("1.5"), parse_ratio(2)}) == 2
    assert [str(parse_ratio(text)) for text in ("1.50", "2", "0.000000001", "10.01")] == [
        *("1.5", "2", "0.000000001", "10.01"),
    ]
    for wrong in ("1,5", "-1", "1e3", ".5", "1.", "1.0000000001", "1/2", True):
        with pytest.raises(ValueError, match="not an exact number"):
            parse_ratio(wrong)


def test_a_mistake_beside_a_mistake_is_told_too() -> None:
    text = HEAD + "earn:\n- {id: base, awrd: 1, award: {fixed: 5}, roundin: up, limits: {}}\n"
    assert sorted((p.code, p.path) for p in problems_of(text)) == [
        ("bad_value", "earn[0].limits"),
        ("unknown_key", "earn[0].awrd"),
        ("unknown_key", "earn[0].roundin"),
    ]


def test_mistakes_in_several_elements_are_told_at_their_places() -> None:
    text = HEAD + RULE + "surveys: [{id: a, award: {fixed: 0}}, {id: b}, {award: {fixed: 1}, x: 1}]"
    assert sorted((p.code, p.path) for p in problems_of(text)) == [
        ("bad_value", "surveys[0].award.fixed"),
        ("missing_key", "surveys[1].award"),
        ("missing_key", "surveys[2].id"),
        ("unknown_key", "surveys[2].x"),
    ]


def test_missing_keys_of_the_head_are_told_with_the_rest() -> None:
    found = problems_of("earn:\n- {id: base, award: {fixed: 0}}\n")
    assert sorted((p.code, p.path) for p in found) == [
        ("bad_value", "earn[0].award.fixed"),
        *(("missing_key", key) for key in (
            "activation", "currency", "effective_from", "expiry", "point_value", "program",
            "time_zone",
        )),
    ]  # fmt: skip


def test_the_largest_file_is_read_and_one_byte_more_is_not() -> None:
    text = HEAD + RULE
    full = text + "#" * (FILE_SIZE_MAX - len(text))
    assert problems_of(full) == ()
    (problem,) = problems_of(full + "#")
    assert (problem.code, problem.line, problem.path) == ("file_too_large", 1, "")
    assert "256 KiB" in problem.message
    # What counts is bytes, not characters.
    (problem,) = problems_of(full[:-1] + "é")
    assert problem.code == "file_too_large"


def test_the_deepest_nesting_that_is_read() -> None:
    inside = DEPTH_MAX - 1
    deep = HEAD + RULE + f"rounding: {'[' * (inside - 1)}{']' * (inside - 1)}\n"
    assert [p.code for p in problems_of(deep)] == ["bad_value"]
    deeper = HEAD + RULE + f"rounding: {'[' * inside}x{']' * inside}\n"
    assert [p.code for p in problems_of(deeper)] == ["too_deep"]
    # What stands beside does not make it less deep.
    beside = "x"
    for _ in range(inside):
        beside = f"[y, {beside}]"
    assert [p.code for p in problems_of(HEAD + RULE + f"rounding: {beside}\n")] == ["too_deep"]
    # Blocks beside each other are not nested.
    beside = "".join(f"- {{id: r{n}, award: {{fixed: 1}}}}\n" for n in range(2 * DEPTH_MAX))
    assert problems_of(f"{HEAD}earn:\n{beside}") == ()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("earn:\n\t- {id: a}\n", 2, "a tab cannot indent YAML; use spaces"),
        ("a: 'x\n", 2, "this is not valid YAML"),
        ("a: 1\nb: \x01\n", 2, "the character U+0001 is not allowed"),
        ("", 1, "the file is empty"),
        ("\n\n- a\n", 3, "a program is a block"),
    ],
)
def test_what_cannot_be_read_is_told_in_its_line(text: str, line: int, said: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.line, problem.path) == (line, "")
    assert said in problem.message


def test_integers_are_read_in_each_notation_and_no_longer_than_18_digits() -> None:
    root, problems, _ = read_document(
        "a: 0x1F\nb: 0o17\nc: -5\nd: +7\ne: 999999999999999999\nf: true\ng: FALSE\nh: 007\n"
    )
    assert problems == []
    assert root.plain() == {
        "a": 31,
        "b": 15,
        "c": -5,
        "d": 7,
        "e": 10**18 - 1,
        "f": True,
        "g": False,
        "h": 7,
    }
    _, problems, _ = read_document("a: 99999999999999999999\n")
    assert [(p.code, p.path) for p in problems] == [("bad_value", "a")]


def test_each_mistake_of_reading_stands_at_its_key() -> None:
    _, problems, unusable = read_document(
        "a: {b: 1.5}\nc: [x, ~]\nd: &x 1\ne: *x\nf: !!str 5\ng: !odd 5\nh: !!binary x\n"
        'i: "\\ud800"\n? [k]\n: 1\na: 2\n'
    )
    assert [(p.code, p.path, p.line) for p in problems] == [
        ("alias_refused", "", 3),
        ("float_refused", "a.b", 1),
        ("empty_value", "c[1]", 2),
        ("alias_refused", "e", 4),
        ("tag_refused", "g", 6),
        ("tag_refused", "h", 7),
        ("bad_value", "i", 8),
        ("bad_key", "", 9),
        ("duplicate_key", "a", 11),
    ]
    assert [node.path for node in unusable] == ["a.b", "c[1]", "e", "g", "h", "i"]


def test_what_is_written_keeps_its_order_its_letters_and_its_lines() -> None:
    text = write_document({"b": "é", "a": "long " * 100})
    assert text == f"b: é\na: '{'long ' * 100}'\n"


def test_the_form_of_a_rule_survives_every_layout() -> None:
    block = "earn:\n  - id: base\n    award:\n      fixed: 5\n"
    assert load_program(HEAD + block, "x") == load_program(HEAD + RULE, "x")
