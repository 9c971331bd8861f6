"""What holds for every page."""

import re
from pathlib import Path

import pytest

from tests.docs.codes import ROOT
from tests.docs.pages import DOCS, page

REFERENCE = (
    "settings.md",
    "events.md",
    "program.md",
    "sql.md",
    "metrics.md",
    "domain.md",
    "errors.md",
)

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

LINE_MAX = 120

_LINK = re.compile(r"\]\((?P<target>[^)#]+)")


@pytest.mark.parametrize("name", REFERENCE)
def test_lines_are_short_enough(name: str) -> None:
    long = [
        number
        for number, line in enumerate(page(name).splitlines(), 1)
        if len(line) > LINE_MAX and not line.startswith("|")  # a table's row cannot be broken
    ]
    assert long == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    targets = [match["target"] for match in _LINK.finditer(path.read_text(encoding="utf-8"))]
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_every_page_is_found_from_another(path: Path) -> None:
    """Somebody who starts at the README or the list of decisions comes to every page."""
    others = [other for other in PAGES if other != path]
    name = "decisions/" if path.parent != DOCS and path.name == "README.md" else path.name
    assert any(name in other.read_text(encoding="utf-8") for other in others)
