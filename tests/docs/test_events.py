"""docs/events.md says what the code says: types, fields, codes, keys, outcomes; examples decode."""

import re
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from ledger.dedupe import key_of
from ledger.received import OutcomeKind
from schemas import decisions, outcomes, texts
from schemas.decode import decode_record
from schemas.errors import Code
from schemas.inputs import TOPIC_OF_TYPE, Envelope, InputEvent
from schemas.json_schema import INPUT_STRUCTS
from schemas.routing import type_of
from tests.docs import codes
from tests.docs.pages import blocks, items, page, sections

PAGE = page("events.md")
SECTIONS = sections(PAGE)

LOG_EVENTS: dict[str, type[msgspec.Struct]] = {
    struct.__name__: struct for struct in get_args(decisions.LogEvent)
}
PARTS: dict[str, type[msgspec.Struct]] = {
    name: struct
    for name, struct in vars(decisions).items()
    if isinstance(struct, type)
    and issubclass(struct, msgspec.Struct)
    and struct.__module__ == decisions.__name__
    and not issubclass(struct, decisions.Decision)
}


def fields_below(struct: type[msgspec.Struct], prefix: str = "") -> dict[str, tuple[bool, str]]:
    """Path within `data` → (required, sentence)."""
    found: dict[str, tuple[bool, str]] = {}
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        path = f"{prefix}{field.encode_name}"
        found[path] = (field.required, texts.FIELDS[f"{struct.__name__}.{field.name}"])
        for below, suffix in structs_in(hints[field.name]):
            found |= fields_below(below, f"{path}{suffix}.")
    return found


def structs_in(annotation: Any) -> list[tuple[type[msgspec.Struct], str]]:
    """The structs that a field holds, with `[]` when it holds a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [(annotation, "")]
    suffix = "[]" if getattr(annotation, "__origin__", None) is tuple else ""
    return [
        (struct, suffix + more)
        for part in get_args(annotation)
        for struct, more in structs_in(part)
    ]


def data_struct(event_type: str) -> type[msgspec.Struct]:
    struct: type[msgspec.Struct] = get_type_hints(INPUT_STRUCTS[event_type])["data"]
    return struct


# --- input events -----------------------------------------------------------------------------


def test_every_type_has_its_section_and_every_section_its_type() -> None:
    headings = [re.fullmatch(r"`([a-z]+\.[a-z]+\.v\d+)`", heading) for heading in SECTIONS]
    assert {match[1] for match in headings if match} == set(INPUT_STRUCTS)


@pytest.mark.parametrize("event_type", sorted(INPUT_STRUCTS))
def test_the_fields_of_a_type(event_type: str) -> None:
    listed = items(SECTIONS[f"`{event_type}`"])
    expected = fields_below(data_struct(event_type))
    assert sorted(listed) == sorted(expected)
    for path, (required, sentence) in expected.items():
        assert listed[path].kind.endswith(", required" if required else ", optional"), path
        assert listed[path].text == sentence, path


def test_the_envelope() -> None:
    listed = items(SECTIONS["The envelope"])
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(Envelope)}
    fields |= {"type": True, "subject": True, "data": True}
    assert sorted(listed) == sorted(fields)
    for name, required in fields.items():
        assert listed[name].kind.endswith(", required" if required else ", optional"), name
        assert listed[name].text.startswith(texts.FIELDS[name]), name


@pytest.mark.parametrize("event_type", sorted(INPUT_STRUCTS))
def test_the_example_of_a_type_decodes(event_type: str) -> None:
    (example,) = blocks(SECTIONS[f"`{event_type}`"], "json")
    assert type_of(decode_record(example.encode())) == event_type


def test_the_example_in_binary_mode_decodes() -> None:
    (example,) = blocks(PAGE, "headers")
    head, _, value = example.partition("\n\n")
    headers = [line.split(": ", 1) for line in head.splitlines()]
    event = decode_record(value.encode(), [(name, text.encode()) for name, text in headers])
    structured = blocks(SECTIONS["`referral.registered.v1`"], "json")[0]
    assert event == decode_record(structured.encode())


def test_the_topics() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \|", SECTIONS["Topics, keys and partitions"], re.MULTILINE
    )
    listed = {name: topic for topic, names in rows for name in re.findall(r"`([^`]+)`", names)}
    assert listed == TOPIC_OF_TYPE


@pytest.mark.parametrize("event_type", sorted(INPUT_STRUCTS))
def test_what_makes_a_duplicate(event_type: str) -> None:
    """Changing a field changes the key exactly when the page says that it is part of it."""
    said = items(SECTIONS["Duplicates and conflicts"])[event_type].text
    named = set(re.findall(r"`([^`]+)`", said))
    (example,) = blocks(SECTIONS[f"`{event_type}`"], "json")
    event = decode_record(example.encode())
    changed: dict[str, InputEvent] = {
        name: msgspec.structs.replace(event, **{name: "another"}) for name in ("source", "id")
    }
    for field in msgspec.structs.fields(event.data):
        if isinstance(getattr(event.data, field.name), str):
            data = msgspec.structs.replace(event.data, **{field.name: "another"})
            changed[f"data.{field.name}"] = msgspec.structs.replace(event, data=data)
    assert named <= changed.keys()
    assert {name for name, other in changed.items() if key_of(other) != key_of(event)} == named


# --- outcomes and codes -----------------------------------------------------------------------


def test_the_outcomes() -> None:
    not_counted = {"skipped"}  # records below the stored offset, which had their outcome before
    listed = items(SECTIONS["The five outcomes"])
    assert set(listed) == set(get_args(OutcomeKind)) - not_counted


def test_the_codes_of_records() -> None:
    assert set(items(SECTIONS["Codes of the record"])) == {str(code) for code in Code}


def test_the_codes_of_decisions() -> None:
    assert set(items(SECTIONS["Codes of the decision"])) == codes.undecidable()


def test_the_codes_of_refusals() -> None:
    listed = set(items(SECTIONS["Refusals"]))
    patterns = {re.compile(pattern) for pattern in codes.refusals()}
    assert [code for code in listed if not any(p.fullmatch(code) for p in patterns)] == []
    assert [p.pattern for p in patterns if not any(p.fullmatch(code) for code in listed)] == []


# --- the log ----------------------------------------------------------------------------------


def test_every_event_and_part_of_the_log_has_its_section() -> None:
    headings = {
        match[1]
        for heading in SECTIONS
        if (match := re.match(r"`([A-Z]\w+)`(?: \(list\))?$", heading))
    }
    assert headings == {*LOG_EVENTS, *PARTS}


@pytest.mark.parametrize("name", sorted(LOG_EVENTS))
def test_the_fields_of_a_log_event(name: str) -> None:
    common = {field.encode_name for field in msgspec.structs.fields(decisions.Decision)}
    own = [
        field.encode_name
        for field in msgspec.structs.fields(LOG_EVENTS[name])
        if field.encode_name not in common
    ]
    assert sorted(items(SECTIONS[f"`{name}`"])) == sorted(own)
    assert set(items(SECTIONS["Events of an account"])) == common


@pytest.mark.parametrize("name", sorted(PARTS))
def test_the_fields_of_a_part(name: str) -> None:
    as_list = PARTS[name].__struct_config__.array_like
    listed = list(items(SECTIONS[f"`{name}` (list)" if as_list else f"`{name}`"]))
    fields = [field.encode_name for field in msgspec.structs.fields(PARTS[name])]
    assert listed == fields if as_list else sorted(listed) == sorted(fields)


def test_the_accounts_of_postings() -> None:
    listed = set(items(SECTIONS["Postings"]))
    assert listed == {str(account) for account in decisions.PostingAccount}


def test_the_example_of_the_log_decodes_and_sums_to_zero() -> None:
    (example,) = blocks(PAGE, "log")
    event = msgspec.json.decode(example, type=decisions.LogEvent)
    assert isinstance(event, decisions.PurchaseRewarded)
    assert sum(posting.points for posting in event.postings) == 0
    (award,) = event.awards
    assert sum(share.points for share in award.lines) == award.points


# --- outcomes of commands ---------------------------------------------------------------------


def test_the_outcome_of_a_command() -> None:
    section = SECTIONS["Outcomes of commands"]
    expected = fields_below(outcomes.CommandOutcomeData, "data.") | {
        field.encode_name: (field.required, texts.FIELDS[f"CommandOutcome.{field.name}"])
        for field in msgspec.structs.fields(outcomes.CommandOutcome)
        if field.name != "specversion"
    }
    listed = items(section)
    assert sorted(listed) == sorted(expected)
    for path, (required, sentence) in expected.items():
        assert listed[path].kind.endswith(", required" if required else ", optional"), path
        assert listed[path].text == sentence, path
    (example,) = blocks(section, "outcome")
    told = msgspec.json.decode(example, type=outcomes.CommandOutcome, strict=True)
    assert told.data.outcome == "applied"
