"""docs/errors.md says what the code says: every class of errors, every code that it is given."""

import re

import pytest

from tests.docs.pages import items, page, sections
from tests.docs.raised import codes_by_class

SECTIONS = {
    heading.strip("`"): text
    for heading, text in sections(page("errors.md")).items()
    if heading.startswith("`")
}

RAISED = codes_by_class()

# The check of a version has the code in a variable there; tests/docs/test_program.py reads them.
RAISED["ProgramRefused"] |= set(items(sections(page("program.md"))["Versions"]))

_ROW = re.compile(
    r"^\| `(?P<code>[a-z_]+)` \| (?P<wrong>[^|]+\.) \| (?P<to_do>[^|]+\.) \|$", re.MULTILINE
)


def test_every_class_has_its_section() -> None:
    assert set(SECTIONS) == set(RAISED)


@pytest.mark.parametrize("name", sorted(RAISED))
def test_the_codes(name: str) -> None:
    listed = [match["code"] for match in _ROW.finditer(SECTIONS[name])]
    assert sorted(listed) == sorted(RAISED[name])
    assert len(listed) == SECTIONS[name].count("\n| `"), "each row: code, what is wrong, what to do"
