"""What the tests of screens share: going to one, and looking whether it is as it must be."""

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.api.served import Server

PICTURES = Path(__file__).parents[2] / "build" / "screens"
"""Where the pictures of a run are left, for people to look at."""

WAIT_MS = 60_000.0
"""For anything on a screen, on a machine with much else to do."""

STILL = """
document.getAnimations().every(each =>
  each.playState !== 'running' || each.effect.getComputedTiming().endTime === Infinity)
"""
"""Nothing fades in or out any more: what is half there has no contrast."""

SERIOUS = ("serious", "critical")

expect.set_options(timeout=WAIT_MS)


def opened(page: Page, server: Server, path: str) -> None:
    page.goto(f"{server.url}/console{path}")
    page.wait_for_selector("h1")
    page.wait_for_function("document.querySelectorAll('.q-loading, .q-spinner').length === 0")


def checked(page: Page, name: str) -> None:
    """It fits into its window, and axe finds nothing serious."""
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_function(STILL)
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], f"{name} is wider than its window: {width}"
    found = Axe().run(page).response["violations"]
    told = [
        (
            each["id"],
            each["help"],
            [(node["html"][:200], node["failureSummary"]) for node in each["nodes"]][:3],
        )
        for each in found
        if each["impact"] in SERIOUS
    ]
    assert not told, f"{name}: {told}"


def dialog(page: Page, title: str) -> Locator:
    """The open dialog of that title."""
    return page.get_by_role("dialog", name=title)


def chosen(page: Page, of: Locator, label: str, option: str) -> None:
    """Choose an option of a list."""
    of.get_by_label(label).click()
    page.get_by_role("option", name=option, exact=True).click()
