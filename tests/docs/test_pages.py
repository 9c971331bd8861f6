"""What holds for every reference page."""

import re

import pytest

from tests.docs.pages import DOCS, page

PAGES = ("settings.md", "events.md", "program.md", "sql.md", "metrics.md")

LINE_MAX = 120

_LINK = re.compile(r"\]\((?P<target>[^)#]+)")


@pytest.mark.parametrize("name", PAGES)
def test_lines_are_short_enough(name: str) -> None:
    long = [
        number for number, line in enumerate(page(name).splitlines(), 1) if len(line) > LINE_MAX
    ]
    assert long == []


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    targets = [match["target"] for match in _LINK.finditer(page(name))]
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (DOCS / target).exists()] == []
