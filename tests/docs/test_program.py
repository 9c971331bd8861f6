"""docs/program.md says what the code says: every key, its default, what is refused."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.program import read_program
from ledger.core.program import form, tokens
from ledger.core.program.duration import Duration
from ledger.core.program.keys import every_key
from ledger.core.program.load import load_program
from ledger.core.program.problems import CODES
from ledger.errors import ProgramRefused
from ledger.programs import check_publishable
from tests.docs.pages import Item, blocks, items, page, sections

PAGE = page("program.md")
SECTIONS = sections(PAGE)
EXAMPLES = blocks(PAGE, "yaml")
SMALLEST = EXAMPLES[0]

BLOCKS: dict[str, type[msgspec.Struct]] = {
    "The whole file": form.Program,
    "`activation`": form.ActivateAfter,
    "`expiry`": form.ExpireBy,
    "`earn[]`": form.EarnRule,
    "`on`": form.OnActivity,
    "`award`": form.Award,
    "`award.rate`": form.Rate,
    "`award.table[]`": form.Step,
    "`award.multiplier`": form.Multiplier,
    "`when`": form.When,
    "Ranges": form.Bounds,
    "`when.hours`": form.Hours,
    "`when.nth_purchase`": form.Nth,
    "`when.birthday`": form.BirthdayWindow,
    "`lines`": form.Lines,
    "`stacking`": form.BestOfGroup,
    "`limits[]`": form.Limit,
    "`valid`": form.Validity,
    "`overrides[]`": form.Override,
    "`tiers`": form.Tiers,
    "`tiers.qualify_by`": form.QualifyBy,
    "Windows": form.QualifyWindow,
    "`tiers.levels[]`": form.Level,
    "`tiers.downgrade`": form.Downgrade,
    "`surveys[]`": form.Survey,
    "`referral`": form.Referral,
    "`referral.qualifies`": form.ReferralQualifies,
    "What qualifies": form.Qualifies,
    "`referral.referrer` and `referral.referee`": form.ReferralReward,
    "`referral.referrer.share`": form.ShareOfPurchases,
    "`referral.per_referrer`": form.ReferrerLimit,
    "`returns`": form.Returns,
    "`redemption`": form.Redemption,
    "`redemption.maximum_share`": form.BasketShare,
    "`charities[]`": form.Charity,
    "`rewards[]`": form.CatalogueReward,
    "`segments[]`": form.Segment,
    "`segments[].when`": form.SegmentWhen,
    "`segments[].when.rfm`": form.Rfm,
    "`closing`": form.Closing,
    "`transfers`": form.Transfers,
    "`budgets[]`": form.Budget,
    "`promo_codes[]`": form.PromoSeries,
}
"""The section of each block of the form."""


def completed(part: str) -> str:
    """The smallest program with these keys instead of its own."""
    given = set(re.findall(r"^(\w+):", part, re.MULTILINE))
    whole = re.findall(r"^(\w+):(.*\n(?:[ -].*\n)*)", SMALLEST, re.MULTILINE)
    return "".join(f"{key}:{rest}" for key, rest in whole if key not in given) + part


def written(default: object) -> str:
    """A default as one writes it in a program."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def on_one_line(text: str) -> str:
    return " ".join(text.split())


# --- keys -------------------------------------------------------------------------------------


def test_every_block_of_the_form_has_its_section() -> None:
    structs = {
        struct
        for _, struct in inspect.getmembers(form, inspect.isclass)
        if issubclass(struct, form.Strict) and struct is not form.Strict
    }
    assert structs == set(BLOCKS.values())


def test_the_longer_headings_are_paths_of_the_form() -> None:
    paths = {path for path, _ in every_key()}
    for heading in BLOCKS:
        for name in re.findall(r"`([a-z_.\[\]]+)`", heading):
            end = name.removesuffix("[]")
            assert any(path == end or path.endswith(f".{end}") for path in paths), name


@pytest.mark.parametrize("heading", sorted(BLOCKS))
def test_the_keys_of_a_block(heading: str) -> None:
    listed = items(SECTIONS[heading])
    fields = {field.encode_name: field for field in msgspec.structs.fields(BLOCKS[heading])}
    assert list(listed) == list(fields)
    for name, field in fields.items():
        if field.required:
            last = "required"
        elif isinstance(field.default, str | int | Duration):
            last = f"default `{written(field.default)}`"
        else:
            last = "optional"
        assert listed[name].kind.endswith(f", {last}"), f"{heading}: {name} is {last}"


@pytest.mark.parametrize("heading", sorted(BLOCKS))
def test_the_words_that_a_key_may_be(heading: str) -> None:
    info = msgspec.inspect.type_info(BLOCKS[heading])
    assert isinstance(info, msgspec.inspect.StructType)
    listed = items(SECTIONS[heading])
    for field in info.fields:
        item = listed[field.encode_name]
        # A key that is a word or a block has a section of its own, which tells the words.
        where = PAGE if "word" in item.kind else item.kind
        missing = [word for word in words_of(field.type) if f"`{word}`" not in where]
        assert missing == [], f"{heading}: {field.encode_name}"


def words_of(kind: msgspec.inspect.Type) -> Iterator[str]:
    """The words that a value may be, blocks within it left aside."""
    match kind:
        case msgspec.inspect.LiteralType():
            yield from map(str, kind.values)
        case msgspec.inspect.Metadata():
            yield from words_of(kind.type)
        case msgspec.inspect.VarTupleType():
            yield from words_of(kind.item_type)
        case msgspec.inspect.UnionType():
            for each in kind.types:
                yield from words_of(each)


# --- what is refused --------------------------------------------------------------------------


def test_the_codes_of_problems() -> None:
    assert {item.name for item in items(SECTIONS["Codes of problems"]).values()} == set(CODES)


def test_the_codes_of_publishing() -> None:
    listed = items(SECTIONS["Versions"])
    tree = ast.parse(inspect.getsource(check_publishable))
    given = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[a-z]+(_[a-z]+)+", node.value)
    }
    assert set(listed) == given - {"time_zone", "effective_from"}


# --- expressions ------------------------------------------------------------------------------


def names_of(item: Item) -> set[str]:
    return set(re.findall(r"`([^`]+)`", item.text))


def test_what_expressions_may_say() -> None:
    section = SECTIONS["Expressions"]
    listed = items(section)
    assert names_of(listed["purchase"]) == set(tokens.PURCHASE_FIELDS)
    assert names_of(listed["account"]) == set(tokens.ACCOUNT_FIELDS)
    assert names_of(listed["#"]) >= set(tokens.LINE_FIELDS)
    functions = on_one_line(section).partition("Functions: ")[2].partition(". ")[0]
    assert re.findall(r"`([^`]+)`", functions) == list(tokens.FUNCTIONS)
    assert f"{tokens.EXPRESSION_LENGTH_MAX:,} characters" in section


# --- examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_loads(number: int) -> None:
    load_program(completed(EXAMPLES[number]), f"example {number}")


def said(part: object) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """The keys that a part of a program gives, each with its block."""
    if isinstance(part, tuple):
        for each in part:
            yield from said(each)
    elif isinstance(part, form.Strict):
        for field in msgspec.structs.fields(part):
            value = getattr(part, field.name)
            if value != field.default:
                yield type(part), field.encode_name
                yield from said(value)


def test_every_key_is_in_an_example() -> None:
    shown: set[tuple[type[msgspec.Struct], str]] = set()
    for text in EXAMPLES:
        shown |= set(said(load_program(completed(text), "an example")))
    keys = {(block, key) for block in BLOCKS.values() for key in block.__struct_encode_fields__}
    missing = {(block.__name__, key) for block, key in keys - shown}
    assert missing == set(), "show each of them in an example"


def test_the_check_of_the_smallest_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = blocks(PAGE, "check")
    monkeypatch.chdir(tmp_path)
    Path("corner-shop.yaml").write_text(SMALLEST, encoding="utf-8")
    result = CliRunner().invoke(app, ["program", "check", "corner-shop.yaml"])
    assert result.stdout == shown


def test_the_check_of_a_file_with_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (wrong,) = blocks(PAGE, "yaml wrong")
    (shown,) = blocks(PAGE, "output")
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(ProgramRefused) as refused:
        read_program(Path("wrong.yaml"))
    message = f"error [{refused.value.code}] {refused.value.message}"
    assert on_one_line(shown) == on_one_line(message)
