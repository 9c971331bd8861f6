"""The console of a running server, in Debian's Chromium."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from deploy.embedded import Services
from points_client import Basket, Client, Line
from projections.runner import Runner
from tests.api.conftest import api_template
from tests.api.served import Server, key_of
from tests.console.screens import WAIT_MS
from tests.databases import copied, server_of

__all__ = ["api_template"]

ROLES_KEY = (
    *("members:read", "members:write", "members:standing", "transfer", "adjust", "preview"),
    *("redeem", "purchases", "programs:read", "programs:write", "reports:read", "webhooks"),
    *("operations:read", "operations:write", "audit:read", "access:admin"),
    "proposals:read",
)

MEMBER = "anna"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, headless. Of one module: while it runs, Playwright's event loop counts as running
    in this thread, and no other test could run one of its own."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: install Debian's package chromium, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def shown(
    services: Services,
    api_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, str]]:
    """A server over a ledger with a member who bought, and a key that may do everything."""
    import psycopg

    log = tmp_path_factory.mktemp("console") / "log"
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        copied(server_of(services.database_url), admin, api_template) as url,
        log.open("wb") as out,
    ):
        key = key_of(url, services.kafka_bootstrap, "agent-1", *ROLES_KEY)
        server = Server(
            url,
            services.kafka_bootstrap,
            out,
            POINTS_DATA_DIR=str(log.with_name("data")),
            POINTS_CHECKPOINT_DIR=str(log.with_name("checkpoints")),
            POINTS_WEBHOOKS_PRIVATE_ADDRESSES="allow",
        )
        server.start()
        try:
            basket = Basket("s1", "store", "USD", [Line("1", "x", 50_000, category="A")])
            with Client(server.url, key) as points:
                points.purchase(MEMBER, "o1", basket)
                points.purchase("bob", "o2", basket)
                points.redeem(MEMBER, "x1", 40, basket=basket.for_points())
            Runner(url).run(until_caught_up=True)
            yield server, key
        finally:
            server.kill()


@pytest.fixture
def page(browser: Browser, shown: tuple[Server, str]) -> Iterator[Page]:
    """A page of a wide window, signed in; an error in the browser's console fails the test."""
    server, key = shown
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    yield from _signed_in(context.new_page(), server, key)
    context.close()


@pytest.fixture
def narrow(browser: Browser, shown: tuple[Server, str]) -> Iterator[Page]:
    """The same on a telephone, in the dark, in Russian."""
    server, key = shown
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, color_scheme="dark", locale="ru-RU"
    )
    yield from _signed_in(context.new_page(), server, key)
    context.close()


def _signed_in(page: Page, server: Server, key: str) -> Iterator[Page]:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    signed_in(page, server, key)
    yield page
    assert not errors


def signed_in(page: Page, server: Server, key: str) -> None:
    """Sign in by the form."""
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{server.url}/console/sign-in")
    page.fill("#token", key)
    page.click("button[type=submit]")
    page.wait_for_selector("#main")
