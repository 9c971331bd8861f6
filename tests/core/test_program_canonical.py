"""The canonical content: what changes a version and what does not."""

import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.program.canonical import canonical, from_canonical, version_of
from ledger.core.program.compiled import compile_program
from ledger.core.program.document import read_document, write_document
from ledger.core.program.duration import parse_duration, parse_ratio
from ledger.core.program.load import load_program
from tests.core.program_texts import DEMO, HEAD

BASE = "earn:\n- {id: base, award: {fixed: 1}%s}\n%s"


def version(text: str) -> str:
    return version_of(load_program(text, "test.yaml"))


def variant(rule: str = "", rest: str = "", head: str = HEAD) -> str:
    return version(head + BASE % (f", {rule}" if rule else "", rest))


def test_a_version_is_the_hash_of_the_content_and_the_log_gives_it_back() -> None:
    program = load_program(DEMO, "program.yaml")
    content = canonical(program)
    assert canonical(from_canonical(content)) == content
    assert len(version_of(program)) == 64
    assert compile_program(program).version == version_of(program)
    assert compile_program(program, "recorded").version == "recorded"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("when: {store: a}", "when: {store: [a]}"),
        ("when: purchase.amount > 1", "when: {expression: purchase.amount > 1}"),
        ("when: {}", ""),
        ("lines: {}", ""),
        ("valid: {}", ""),
        ("stacking: add", ""),
        ("counts_for_tier: true", ""),
        ("expiry: {after: P1Y}", "expiry: {after: P12M}"),
        ("expiry: {after: P2W}", "expiry: {after: P14D}"),
        ("expiry: {after: PT60M}", "expiry: {after: PT1H}"),
        ("valid: {from: 2026-02-01T03:00:00+03:00}", "valid: {from: 2026-02-01T00:00:00Z}"),
    ],
)
def test_the_same_said_otherwise_is_the_same_version(one: str, other: str) -> None:
    assert variant(one) == variant(other)


def test_defaults_need_not_be_said() -> None:
    said = "returns: {policy: debt, window: P12M}\nredemption: {reservation_ttl: PT1800S}\n"
    assert variant(rest=said + "rounding: floor\nsurveys: []\n") == variant()
    assert variant(head=HEAD.replace("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00")) == (
        variant()
    )


@pytest.mark.parametrize(
    "rule",
    [
        "expiry: {after: P1D}",
        "expiry: {after: PT24H}",
        "expiry: never",
        "when: {store: a}",
        "when: {store: [a, b]}",
        "stacking: exclusive",
        "counts_for_tier: false",
        "rounding: floor",
    ],
)
def test_what_means_something_else_is_another_version(rule: str) -> None:
    assert variant(rule) != variant()


def test_the_order_of_rules_means_something() -> None:
    rules = ["- {id: a, award: {fixed: 1}}\n", "- {id: b, award: {fixed: 1}}\n"]
    assert version(f"{HEAD}earn:\n{''.join(rules)}") != version(
        f"{HEAD}earn:\n{''.join(reversed(rules))}"
    )


def _shuffled(value: Any, random_: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(each, random_)) for key, each in value.items()]
        random_.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [_shuffled(each, random_) for each in value]
    return value


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.booleans())
def test_layout_comments_and_the_order_of_keys_change_nothing(
    random_: random.Random, commented: bool
) -> None:
    root, _, _ = read_document(DEMO)
    text = write_document(_shuffled(root.plain(), random_))
    if commented:
        text = "# a comment\n" + text.replace("\n", "  # and another\n")
    assert version(text) == version(DEMO)


@given(st.integers(0, 10**9 - 1), st.text("0123456789", max_size=9))
def test_ratios_are_exact_and_written_shortest(whole: int, places: str) -> None:
    text = f"{whole}.{places}" if places else str(whole)
    ratio = parse_ratio(text)
    assert ratio.fraction == Fraction(text)
    assert parse_ratio(str(ratio)) == ratio
    assert len(str(ratio)) <= len(text)


@given(st.integers(0, 40), st.integers(0, 11), st.integers(0, 400), st.integers(0, 10**6))
def test_durations_are_written_in_one_form(
    years: int, months: int, days: int, seconds: int
) -> None:
    duration = parse_duration(f"P{years}Y{months}M{days}DT{seconds}S")
    assert parse_duration(str(duration)) == duration
