"""What is owed, by month and by month of expiry, on the screen and as files that harm nobody."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from projections.runner import Runner
from tests.api.calls import basket
from tests.api.served import Server
from tests.console.screens import checked, chosen, dialog, opened

FORMULA = "=HYPERLINK(1)"


@pytest.fixture(scope="module", autouse=True)
def bought(shown: tuple[Server, str]) -> None:
    """A purchase in a region with a formula for a name, folded."""
    server, key = shown
    answer = httpx.post(
        f"{server.url}/v1/members/carl/purchases",
        json=basket(5_000, order_id="formula", region=FORMULA),
        headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "formula"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    Runner(server.environment["POINTS_DATABASE_URL"]).run(until_caught_up=True)


def test_the_liability_by_month_of_expiry(
    page: Page, shown: tuple[Server, str], tmp_path: Path
) -> None:
    server, _ = shown
    opened(page, server, "/reports")
    page.get_by_role("button", name="By month of expiry").click()
    rows = page.get_by_role("region", name="Liability by month of expiry").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.last).to_contain_text("$10.10")
    expect(page.get_by_role("img", name="Liability by month of expiry")).to_be_visible()
    checked(page, "wide-liability-expiry")
    with page.expect_download() as download:
        page.get_by_role("button", name="As a CSV file").first.click()
    download.value.save_as(tmp_path / "file.csv")
    heading, *months, total = (tmp_path / "file.csv").read_text().splitlines()
    assert heading == "bucket,lots,members,points,pending,available,reserved,liability"
    assert len(months) == 1
    assert total == "All,3,3,1010,0,1010,0,1010"


def test_the_liability_by_month(page: Page, shown: tuple[Server, str]) -> None:
    server, _ = shown
    opened(page, server, "/reports")
    page.get_by_role("button", name="By month", exact=True).click()
    asked = dialog(page, "Liability by month")
    asked.get_by_label("First month").fill("2026-13")
    asked.get_by_role("button", name="Do it").click()
    expect(page.get_by_text("is not a month", exact=False)).to_be_visible()
    asked.get_by_label("First month").fill("")
    asked.get_by_role("button", name="Do it").click()
    region = page.get_by_role("region", name="Liability at the end of each month")
    expect(region.get_by_role("row").last).to_contain_text("$10.10")
    checked(page, "wide-liability-month")


def test_a_file_holds_no_formula(page: Page, shown: tuple[Server, str], tmp_path: Path) -> None:
    server, _ = shown
    opened(page, server, "/reports")
    chosen(page, page.locator("#main"), "And by", "region")
    with page.expect_download() as download:
        page.get_by_role("button", name="As a CSV file").last.click()
    download.value.save_as(tmp_path / "file.csv")
    text = (tmp_path / "file.csv").read_text()
    assert f",'{FORMULA}," in text
    assert f",{FORMULA}" not in text


def test_the_report_on_a_telephone_in_the_dark_in_russian(
    narrow: Page, shown: tuple[Server, str]
) -> None:
    server, _ = shown
    opened(narrow, server, "/reports")
    narrow.get_by_role("button", name="По возрасту в месяцах").click()
    title = "Обязательства по возрасту в месяцах"
    expect(narrow.get_by_role("region", name=title)).to_be_visible()
    checked(narrow, "narrow-liability-age")
