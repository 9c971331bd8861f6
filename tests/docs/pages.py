"""Reading the reference pages: their sections, their lists of names, their code blocks.

A reference page lists each name as "- `name` (kind, …): text". What a test finds wrong is told by
the name, so that whoever changed the code knows which line of which page to write.
"""

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"

_ITEM = re.compile(r"^- `(?P<name>[^`]+)`(?: \((?P<kind>.+?)\))?: (?P<text>.+)$", re.DOTALL)
_CONTINUED = re.compile(r"\n {2,}")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Item(NamedTuple):
    """One documented name. `kind`: what stands in brackets; `text`: its sentences, on one line."""

    name: str
    kind: str
    text: str


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """Heading → what stands below it, up to the next heading of any level."""
    without_code = _BLOCK.sub(lambda block: re.sub(r"(?m)^#", " #", block[0]), text)
    parts = _HEADING.split(without_code)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert len(found) == len(parts) // 2, "two sections have the same heading"
    return found


def items(section: str) -> dict[str, Item]:
    """The names that a section lists. Raises AssertionError for one that stands there twice."""
    found: dict[str, Item] = {}
    for line in _CONTINUED.sub(" ", section).splitlines():
        match = _ITEM.match(line)
        if match is None:
            continue
        assert match["name"] not in found, f"{match['name']} is listed twice"
        found[match["name"]] = Item(match["name"], match["kind"] or "", match["text"])
    return found


def blocks(text: str, kind: str) -> list[str]:
    """The code blocks whose fence says `kind`, in order."""
    return [match["text"] for match in _BLOCK.finditer(text) if match["kind"] == kind]
