"""docs/settings.md says what the code says: each setting, default, bounds and sentence."""

import re
import shlex
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from ledger.errors import StartRefused
from ledger.settings import PREFIX, Settings, load_settings
from tests.docs.pages import Item, blocks, items, page

LISTED = items(page("settings.md"))


def expected(name: str, field: FieldInfo) -> Item:
    """The line that the page must have."""
    parts = []
    bounds = {
        key: value
        for rule in field.metadata
        for key in ("ge", "le")
        if (value := getattr(rule, key, None)) is not None
    }
    if bounds:
        parts.append(f"{bounds['ge']} to {bounds['le']}")
    default = "not set" if field.default is None else f"`{field.default}`"
    parts.append(f"default {default}")
    return Item(PREFIX + name.upper(), ", ".join(parts), " ".join(str(field.description).split()))


EXPECTED = {
    item.name: item for item in (expected(*field) for field in Settings.model_fields.items())
}


def test_every_setting_has_its_line_and_every_line_its_setting() -> None:
    assert sorted(LISTED) == sorted(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_line_says_what_the_code_says(name: str) -> None:
    assert LISTED[name] == EXPECTED[name]


def test_the_example_can_be_used() -> None:
    (example,) = blocks(page("settings.md"), "sh")
    words = shlex.split(example.replace("\\\n", " "))
    environ = dict(word.split("=", 1) for word in words if word.startswith(PREFIX))
    settings: Any = load_settings(environ)
    assert len(environ) > 2
    assert settings.require_database_url() == environ["POINTS_DATABASE_URL"]


def test_the_refusals_shown_are_those_that_happen() -> None:
    shown = blocks(page("settings.md"), "text")
    found = []
    for environ in ({"POINTS_SHARD": "64"}, {"POINTS_PARTITIONS": "5"}):
        with pytest.raises(StartRefused) as refused:
            load_settings(environ)
        found.append(f"error [{refused.value.code}] {refused.value.message}")
    assert [" ".join(re.split(r"\s+", text.strip())) for text in shown] == found
