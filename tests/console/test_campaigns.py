"""Promo codes in the browser: a series proposed, codes made of one, and what is refused."""

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.conftest import PROGRAM
from tests.api.served import COMMAND, START_SECONDS, Server
from tests.console.screens import checked, chosen, dialog, opened

SERIES = """
promo_codes:
  - {id: letter, per_member: 2, valid: {to: 2027-01-01T00:00:00Z}}
  - {id: spring, code: SPRING-26, uses: 100}
"""


@pytest.fixture(scope="module", autouse=True)
def program(shown: tuple[Server, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """A version with series of promo codes."""
    server, _ = shown
    file = tmp_path_factory.mktemp("program") / "program.yaml"
    text = PROGRAM.read_text("utf-8").replace("2017-01-01T00:00:00Z", "2199-01-01T00:00:00Z")
    file.write_text(text + SERIES, "utf-8")
    subprocess.run(
        [*COMMAND, "program", "publish", str(file)],
        env=server.environment,
        check=True,
        timeout=START_SECONDS,
    )


def test_codes_are_made_and_kept_in_a_file(
    page: Page, shown: tuple[Server, str], tmp_path: Path
) -> None:
    server, _ = shown
    opened(page, server, "/campaigns")
    page.get_by_role("button", name="Make codes").click()
    asked = dialog(page, "Make promo codes")
    asked.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("alert").filter(has_text="how many codes")).to_be_visible()
    checked(page, "wide-make-codes")
    asked.get_by_label("Or for these members").fill("anna\nbob")
    asked.get_by_role("button", name="Do it").click()
    given = dialog(page, "Codes of letter: 2")
    expect(given.get_by_text("Keep them now")).to_be_visible()
    checked(page, "wide-codes-made")
    with page.expect_download() as download:
        given.get_by_role("button", name="As a CSV file").click()
    download.value.save_as(tmp_path / "letter.csv")
    heading, anna, bob = (tmp_path / "letter.csv").read_text().split()
    assert heading == "code,member_id"
    assert re.fullmatch(r"[0-9A-Z-]+,anna", anna)
    assert bob.endswith(",bob")
    given.get_by_role("button", name="Close").click()
    page.get_by_label("A promo code").fill(anna.partition(",")[0].lower())
    page.get_by_role("button", name="Look it up").click()
    expect(page.get_by_text("Of the series letter, for anna, uses left: 1.")).to_be_visible()


def test_what_the_api_refuses_is_told(page: Page, shown: tuple[Server, str]) -> None:
    server, _ = shown
    opened(page, server, "/campaigns")
    page.get_by_role("button", name="Make codes").click()
    asked = dialog(page, "Make promo codes")
    chosen(page, asked, "Series", "letter")
    asked.get_by_label("How many, for everybody").fill("10001")
    asked.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("alert").filter(has_text="10000")).to_be_visible()
    asked.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="A new series").click()
    asked = dialog(page, "A new series of promo codes")
    asked.get_by_label("Id of the series").fill("second")
    asked.get_by_label("Code", exact=True).fill("spring 26")
    asked.get_by_role("button", name="Do it").click()
    taken = page.get_by_role("alert").filter(has_text="is that of series spring already")
    expect(taken).to_be_visible()


def test_a_new_series_is_proposed(page: Page, shown: tuple[Server, str]) -> None:
    server, _ = shown
    opened(page, server, "/campaigns")
    page.get_by_role("button", name="A new series").click()
    asked = dialog(page, "A new series of promo codes")
    asked.get_by_label("Id of the series").fill("autumn")
    asked.get_by_label("Uses of each code").fill("3")
    asked.get_by_label("Valid from").fill("2199-09-01T00:00")
    asked.get_by_label("Valid until").fill("2199-12-01T00:00")
    asked.get_by_label("The program is in force from").fill("2199-06-01T00:00")
    checked(page, "wide-new-series")
    asked.get_by_role("button", name="Do it").click()
    expect(page.get_by_text("It waits for the approval of another person.")).to_be_visible()
    opened(page, server, "/programs")
    page.get_by_text("program of", exact=False).first.click()
    difference = page.locator(".points-plain").filter(has_text="autumn")
    expect(difference).to_contain_text('"to": "2199-12-01T00:00:00Z"')
    expect(difference).to_contain_text('"uses": 3')


@pytest.mark.parametrize("button", ["Создать коды", "Новая серия"])
def test_the_forms_on_a_telephone_in_the_dark_in_russian(
    narrow: Page, shown: tuple[Server, str], button: str
) -> None:
    server, _ = shown
    opened(narrow, server, "/campaigns")
    narrow.get_by_role("button", name=button).click()
    expect(narrow.get_by_role("dialog")).to_be_visible()
    checked(narrow, f"narrow-codes-{'make' if button.startswith('С') else 'series'}")
