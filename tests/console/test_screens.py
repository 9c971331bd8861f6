"""Every screen in a browser: it opens, fits, has no serious fault for people who cannot see it, and
one whole story of a member goes through it."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from points_client import Client
from tests.api.served import Server
from tests.console.conftest import MEMBER
from tests.console.screens import WAIT_MS, checked, opened

SCREENS = {
    "/": "Overview",
    "/members": "Members",
    f"/members/{MEMBER}": "Member anna",
    "/programs": "Programs",
    "/campaigns": "Campaigns and codes",
    "/approvals": "Approvals",
    "/reports": "Reports",
    "/operations": "Operations",
}


@pytest.mark.parametrize("path", SCREENS)
def test_each_screen(page: Page, shown: tuple[Server, str], path: str) -> None:
    server, _ = shown
    opened(page, server, path)
    expect(page.locator("h1")).to_have_text(SCREENS[path])
    checked(page, "wide" + re.sub(r"\W", "-", path))


@pytest.mark.parametrize("path", SCREENS)
def test_each_screen_on_a_telephone_in_the_dark_in_russian(
    narrow: Page, shown: tuple[Server, str], path: str
) -> None:
    server, _ = shown
    opened(narrow, server, path)
    assert re.search("[а-яА-Я]", narrow.inner_text("h1"))
    checked(narrow, "narrow" + re.sub(r"\W", "-", path))


def test_the_name_leads_home(page: Page, shown: tuple[Server, str]) -> None:
    server, _ = shown
    opened(page, server, "/members")
    page.get_by_role("link", name="Points Ledger").click()
    expect(page.locator("h1")).to_have_text("Overview")


def test_a_refusal_is_told(page: Page, shown: tuple[Server, str]) -> None:
    server, _ = shown
    opened(page, server, "/members/bob")
    page.get_by_role("button", name="Transfer").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Points").fill("999999")
    dialog.get_by_label("To member").fill(MEMBER)
    dialog.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("alert").filter(has_text="points are available")).to_be_visible()


def test_a_program_is_checked_while_it_is_typed(page: Page, shown: tuple[Server, str]) -> None:
    server, _ = shown
    opened(page, server, "/programs")
    editor = page.locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("nonsense: 1")
    expect(page.get_by_text("nonsense", exact=False).last).to_be_visible()
    expect(page.get_by_text("is not known here", exact=False)).to_be_visible()


def test_markup_in_a_program_stays_text(page: Page, shown: tuple[Server, str]) -> None:
    server, _ = shown
    opened(page, server, "/programs")
    page.locator(".cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.insert_text("# begin\n```\n<b class=broken>out</b>\n```\n")
    page.get_by_text("Difference to the version in force").click()
    difference = page.locator(".points-plain")
    expect(difference).to_contain_text("+<b class=broken>out</b>")
    expect(difference).to_contain_text("+```")
    assert page.locator(".broken").count() == 0


def test_a_wrong_key_does_not_get_in(browser: Browser, shown: tuple[Server, str]) -> None:
    server, _ = shown
    page = browser.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{server.url}/console")
    page.wait_for_url("**/console/sign-in")
    page.fill("#token", "pl_wrongwro_" + "a" * 48)
    page.click("button[type=submit]")
    expect(page.get_by_role("alert")).to_contain_text("not known")
    page.close()


def test_another_site_cannot_sign_in_or_out(shown: tuple[Server, str]) -> None:
    server, key = shown
    foreign = {"Origin": "https://evil.example"}
    with httpx.Client(base_url=server.url) as client:
        answer = client.post("/console/sign-in", data={"token": key}, headers=foreign)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert client.post("/console/sign-out", headers=foreign).status_code == 403
        own = client.post("/console/sign-in", data={"token": key})
        cookie = own.headers["set-cookie"].lower()
        assert own.status_code == 303
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/console"))


def test_what_waits_is_shown_whole(page: Page, shown: tuple[Server, str]) -> None:
    server, key = shown
    with Client(server.url, key) as points:
        points.adjust("generous", 2_000_000, "a <b>gift</b>")
    opened(page, server, "/approvals")
    page.get_by_text("adjustment of generous").click()
    expect(page.get_by_text("points: 2000000")).to_be_visible()
    expect(page.get_by_text("a <b>gift</b>")).to_be_visible()
    opened(page, server, "/programs")
    expect(page.get_by_text("Nothing waits.")).to_be_visible()


def test_markup_in_what_people_write_stays_text(page: Page, shown: tuple[Server, str]) -> None:
    server, key = shown
    attack = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    with Client(server.url, key) as points:
        points.adjust("marked", 5, attack)
    opened(page, server, "/members/marked")
    expect(page.get_by_text("onerror", exact=False).first).to_be_attached()
    hacked: Any = page.evaluate("window.hacked")
    assert hacked is None
