"""The chart pack: pictures that say what the figures say, in a page that needs no network."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import matplotlib.image
import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.analytics.conftest import Figures

NAMES = ("points", "participation", "active_members", "tiers", "liability_by_age", "retention")


class Images(HTMLParser):
    """The attributes of every image."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def test_the_page_and_its_pictures(
    figures: Figures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTS_DATABASE_URL", figures.url)
    span = ["--from", "2017-01-01T00:00:00Z", "--to", "2018-01-01T00:00:00Z"]
    done = CliRunner().invoke(app, ["report", "--out", str(tmp_path), *span])
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.html",
        *(f"{name}.png" for name in NAMES),
    }
    for name in NAMES:
        picture = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert picture.shape[1] > 1_000
        assert picture.std() > 0.01, "an empty picture"
        assert picture[0, 0].tolist() == [1, 1, 1, 1], "white wherever it is put"
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    images = Images()
    images.feed(page)
    assert len(images.found) == len(NAMES)
    assert all((one["src"] or "").startswith("data:image/png;base64,") for one in images.found)
    for one in images.found:
        inlay = base64.b64decode((one["src"] or "").partition(",")[2])
        assert matplotlib.image.imread(BytesIO(inlay))[0, 0, 3] == 0, "the page's ground is its own"
    assert all(len(one["alt"] or "") > 40 for one in images.found)
    assert "Members by tier on 2018-01-01. Members: none " in str(images.found[3]["alt"])
    assert "@media (prefers-color-scheme: dark) { img {" in page
    assert not re.search(r"https?:|<script|<link|url\(", page)
    granted = figures.reader.execute(
        "SELECT max(granted) FROM read.kpi_points("
        "'2017-01-01T00:00:00Z', '2018-01-01T00:00:00Z', 'month', 'all')"
    ).fetchone()
    assert granted is not None
    assert f"Granted {granted[0]:,} at most" in page
