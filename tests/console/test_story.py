"""One whole story of a customer, and what needs two people, as they see it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from points_client import Basket, Client, Line
from tests.api.served import Server, key_of
from tests.console.conftest import signed_in
from tests.console.screens import PICTURES, STILL, checked, dialog, opened

CUSTOMER = "story"


def days_ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def test_a_customer_buys_waits_spends_returns_and_hears_why(
    page: Page, shown: tuple[Server, str]
) -> None:
    server, key = shown
    small = Basket("s1", "store", "USD", [Line("1", "x", 3_000)])
    large = Basket("s1", "store", "USD", [Line("1", "x", 10_000), Line("2", "y", 2_000)])
    with Client(server.url, key) as till:
        till.purchase(CUSTOMER, "story-1", small, occurred_at=days_ago(200))
        till.purchase(CUSTOMER, "story-2", large, occurred_at=days_ago(20))
        _seen(page, server, "1-bought", "bought for", "120")
        # Half a year went by since the first purchase: its 30 points are gone.
        told = till.preview(CUSTOMER, large)
        assert told.payable.points == 120, "what is left"
        till.reserve(CUSTOMER, "r1", 60, basket=large.for_points())
        till.confirm(CUSTOMER, "r1", order_id="story-3")
        till.purchase(CUSTOMER, "story-3", large, redemption_id="r1")
        _seen(page, server, "2-spent", "spent", "180")
        till.return_goods(CUSTOMER, "story-2", "back", lines={"2": 2_000})
        _seen(page, server, "3-returned", "returned", "160")
    expired = page.get_by_text("time passed:").first
    expired.click()
    expect(page.get_by_text("30 expired", exact=False).first).to_be_visible()
    checked(page, "story-4-explained")
    page.get_by_role("button", name="Adjust").click()
    asked = dialog(page, "Adjust points")
    asked.get_by_label("Points (below 0 takes)").fill("25")
    asked.get_by_label("Reason").fill("the till was slow")
    asked.get_by_role("button", name="Do it").click()
    expect(page.get_by_text("the till was slow").first).to_be_attached()
    expect(page.get_by_text("185", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Freeze").click()
    asked = dialog(page, "Freeze the account")
    asked.get_by_label("Reason").fill("a doubt")
    asked.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("button", name="Unfreeze")).to_be_visible()
    page.get_by_role("button", name="Русский").click()
    expect(page.get_by_text(re.compile("возврат на .*20,00")).first).to_be_visible()
    checked(page, "story-5-russian")


def _seen(page: Page, server: Server, name: str, words: str, points: str) -> None:
    """The customer's card says so, and has so many points."""
    opened(page, server, f"/members/{CUSTOMER}")
    expect(page.get_by_text(words).first).to_be_visible()
    expect(page.get_by_text(points, exact=True).first).to_be_visible()
    page.screenshot(path=PICTURES / f"story-{name}.png", full_page=True)


Enter = Callable[[str, str], Page]


@pytest.fixture
def people(browser: Browser, shown: tuple[Server, str]) -> Iterator[Enter]:
    """Lets people in, each with a key and a browser of their own: (name, scopes with blanks)."""
    server, _ = shown
    with _people(browser, server) as enter:
        yield enter


@contextmanager
def _people(browser: Browser, server: Server) -> Iterator[Enter]:
    url = server.environment["POINTS_DATABASE_URL"]
    kafka = server.environment["POINTS_KAFKA_BOOTSTRAP"]
    contexts = []

    def enter(name: str, scopes: str) -> Page:
        key = key_of(url, kafka, name, *scopes.split(), person=name)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
        contexts.append(context)
        page = context.new_page()
        signed_in(page, server, key)
        return page

    yield enter
    for context in contexts:
        context.close()


LOOKS = "members:read programs:read reports:read proposals:read"


def test_an_adjustment_needs_another_person(people: Enter, shown: tuple[Server, str]) -> None:
    server, _ = shown
    ann = people("ann-1", f"{LOOKS} adjust approve")
    opened(ann, server, "/members/bob")
    ann.get_by_role("button", name="Adjust").click()
    asked = dialog(ann, "Adjust points")
    asked.get_by_label("Points (below 0 takes)").fill("20000")
    asked.get_by_label("Reason").fill("a spoilt <b>piano</b>")
    asked.get_by_role("button", name="Do it").click()
    expect(ann.get_by_text("It waits for the approval of another person.")).to_be_visible()
    opened(ann, server, "/approvals")
    ann.get_by_text("adjustment of bob").click()
    expect(ann.get_by_text("points: 20000")).to_be_visible()
    ann.wait_for_function(STILL)
    ann.get_by_role("button", name="Approve").click()
    dialog(ann, "Approve").get_by_role("button", name="Do it").click()
    expect(ann.get_by_role("alert").last).to_contain_text(re.compile("person", re.IGNORECASE))
    bea = people("bea-1", f"{LOOKS} approve")
    opened(bea, server, "/approvals")
    bea.get_by_text("adjustment of bob").click()
    expect(bea.get_by_text("points: 20000")).to_be_visible()
    expect(bea.get_by_text("reason: a spoilt <b>piano</b>")).to_be_visible()
    checked(bea, "approve-adjustment")
    bea.get_by_role("button", name="Approve").click()
    dialog(bea, "Approve").get_by_role("button", name="Do it").click()
    expect(bea.get_by_text("Nothing waits.")).to_be_visible()
    opened(ann, server, "/members/bob")
    expect(ann.get_by_text("20,500", exact=True).first).to_be_visible()
    expect(ann.get_by_text("a spoilt <b>piano</b>", exact=False).first).to_be_attached()
    ann.screenshot(path=PICTURES / "approved-adjustment.png", full_page=True)


def test_a_program_needs_another_person(people: Enter, shown: tuple[Server, str]) -> None:
    server, key = shown
    ann = people("ann-2", f"{LOOKS} programs:write")
    opened(ann, server, "/programs")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{server.url}/v1", headers=headers, timeout=60) as client:
        (present,) = client.get("/programs").json()["items"]
        yaml = {"Accept": "application/yaml"}
        text = client.get(f"/programs/{present['version']}", headers=yaml).text
    editor = ann.locator(".cm-content")
    expect(editor).to_contain_text("point_value")
    editor.click()
    ann.keyboard.press("Control+A")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
    changed = re.sub("effective_from: .*", f"effective_from: {tomorrow}", text)
    ann.keyboard.insert_text(changed.replace("point_value: 1", "point_value: 2"))
    expect(ann.get_by_text("This is a program that can be used.")).to_be_visible()
    ann.get_by_role("button", name="Publish").click()
    expect(ann.get_by_text("It waits for the approval of another person.")).to_be_visible()
    bea = people("bea-2", f"{LOOKS} approve")
    opened(bea, server, "/programs")
    expect(bea.get_by_role("region", name="Versions").get_by_role("row")).to_have_count(2)
    bea.get_by_text("program of", exact=False).first.click()
    expect(bea.locator(".points-plain").filter(has_text='+  "point_value": 2')).to_be_visible()
    checked(bea, "approve-program")
    bea.get_by_role("button", name="Approve").click()
    dialog(bea, "Approve").get_by_role("button", name="Do it").click()
    expect(bea.get_by_text("Nothing waits.")).to_be_visible()
    opened(ann, server, "/programs")
    versions = ann.get_by_role("region", name="Versions").get_by_role("row")
    expect(versions).to_have_count(3)
    expect(versions.nth(1)).to_contain_text("$0.02")
    checked(ann, "approved-program")


def test_the_rules_of_two_people_on_a_telephone(narrow: Page, shown: tuple[Server, str]) -> None:
    server, key = shown
    with Client(server.url, key) as points:
        points.adjust("generous", -2_000_000, "по ошибке")
    opened(narrow, server, "/approvals")
    narrow.get_by_text("generous", exact=False).first.click()
    expect(narrow.get_by_text("points: -2000000")).to_be_visible()
    checked(narrow, "narrow-approvals-opened")
