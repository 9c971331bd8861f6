"""What operators and auditors do in the browser: audit runs, checkpoints, webhooks, keys."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.api.served import COMMAND, START_SECONDS, Server
from tests.api.webhooks.receiver import WAIT_SECONDS, Receiver, receiving
from tests.console.screens import checked, chosen, dialog, opened


def commanded(server: Server, *words: str | Path) -> None:
    """A command of `points` on the server's services."""
    told = [*COMMAND, *map(str, words)]
    subprocess.run(told, env=server.environment, check=True, timeout=START_SECONDS)


@pytest.fixture
def receiver(shown: tuple[Server, str], tmp_path: Path) -> Iterator[Receiver]:
    """Takes webhooks; what delivers them runs."""
    server, _ = shown
    with receiving() as found, (tmp_path / "log").open("wb") as log:
        deliverer = subprocess.Popen(
            [*COMMAND, "webhooks", "run"], env=server.environment, stdout=log, stderr=log
        )
        try:
            yield found
        finally:
            deliverer.kill()
            deliverer.wait()


def delivered(shown: tuple[Server, str], times: int) -> None:
    """Wait until the ledger knows that the only delivery was taken so often."""
    server, key = shown
    deadline = time.monotonic() + WAIT_SECONDS
    with httpx.Client(
        base_url=f"{server.url}/v1", headers={"Authorization": f"Bearer {key}"}
    ) as client:
        (webhook,) = client.get("/webhooks").json()["items"]
        while True:
            (one,) = client.get(f"/webhooks/{webhook['id']}/deliveries").json()["items"]
            if one["status"] == "done" and one["attempts"] >= times:
                return
            assert time.monotonic() < deadline, one
            time.sleep(0.2)


def test_an_audit_run_and_its_checkpoints(
    page: Page, shown: tuple[Server, str], tmp_path: Path
) -> None:
    server, _ = shown
    commanded(server, "audit", "keygen", tmp_path / "key", tmp_path / "pub")
    commanded(server, "audit", "checkpoint", "--key", tmp_path / "key", "--no-kafka")
    opened(page, server, "/operations")
    page.get_by_role("button", name="Verify the whole log").click()
    expect(page.get_by_text("Everything is as it was written:", exact=False)).to_be_visible()
    opened(page, server, "/operations")
    page.get_by_text("by key:agent-1: done").first.click()
    expect(page.get_by_text("Everything is as it was written:", exact=False)).to_be_visible()
    page.get_by_text("Checkpoints", exact=True).click()
    page.get_by_text("events, the log holds it", exact=False).click()
    heads = page.get_by_role("region", name="Heads of checkpoint 1")
    expect(heads.get_by_role("row").nth(1)).to_contain_text("yes")
    checked(page, "wide-checkpoints")


def test_a_webhook_from_making_to_its_end(
    page: Page, shown: tuple[Server, str], receiver: Receiver
) -> None:
    server, _ = shown
    opened(page, server, "/operations")
    page.get_by_role("button", name="Add a webhook").click()
    asked = dialog(page, "A new webhook")
    asked.get_by_label("Address").fill("no address")
    asked.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("alert").last).to_be_visible()
    asked.get_by_label("Address").fill(receiver.url)
    asked.get_by_label("What it is for").fill("the <b>crm</b>")
    checked(page, "wide-new-webhook")
    asked.get_by_role("button", name="Do it").click()
    secret = dialog(page, "The webhook's secret")
    expect(secret.get_by_text("whsec_", exact=False)).to_be_visible()
    secret.get_by_role("button", name="Close").click()
    page.get_by_text(f"{receiver.url} (active)").click()
    expect(page.get_by_text("the <b>crm</b>")).to_be_visible()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("It is sent.")).to_be_visible()
    delivered(shown, 1)
    page.get_by_role("button", name="Look again").click()
    delivery = page.get_by_text("webhook.test: done", exact=False)
    expect(delivery).to_be_visible()
    delivery.click()
    expect(page.get_by_text("Answer: 204", exact=False)).to_be_visible()
    checked(page, "wide-delivery")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("It is sent again.")).to_be_visible()
    delivered(shown, 2)
    assert receiver.taken[0].id == receiver.taken[1].id
    page.get_by_role("button", name="Edit", exact=True).click()
    asked = dialog(page, "Edit the webhook")
    chosen(page, asked, "Events", "tier.changed")
    page.keyboard.press("Escape")
    asked.get_by_label("What it is for").fill("the shop")
    asked.get_by_role("button", name="Do it").click()
    page.get_by_text(f"{receiver.url} (active)").click()
    expect(page.get_by_text("*, tier.changed")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text(f"{receiver.url} (paused)").click()
    expect(page.get_by_text("by hand", exact=False)).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text(f"{receiver.url} (active)").click()
    page.get_by_role("button", name="Delete").click()
    dialog(page, "Delete the webhook").get_by_role("button", name="Do it").click()
    expect(page.get_by_text("Nobody subscribed.")).to_be_visible()


def test_a_key_is_made_exchanged_and_revoked(page: Page, shown: tuple[Server, str]) -> None:
    server, _ = shown
    opened(page, server, "/operations")
    page.get_by_role("button", name="Make a key").click()
    asked = dialog(page, "A new API key")
    asked.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("alert").last).to_be_visible()
    asked.get_by_label("System that will use it").fill("till-7")
    chosen(page, asked, "Roles", "viewer")
    page.keyboard.press("Escape")
    checked(page, "wide-new-key")
    asked.get_by_role("button", name="Do it").click()
    first = _secret(page, "The key of till-7")
    assert _status(server, first) == 200
    page.get_by_text("till-7 · ", exact=False).click()
    page.get_by_role("button", name="Exchange").last.click()
    asked = dialog(page, "Exchange the key")
    asked.get_by_label("Hours for which the old one goes on").fill("0")
    asked.get_by_role("button", name="Do it").click()
    second = _secret(page, "The key of till-7")
    assert _status(server, second) == 200
    page.get_by_text("till-7 · ", exact=False).last.click()
    page.get_by_role("button", name="Revoke").last.click()
    dialog(page, "Revoke the key").get_by_role("button", name="Do it").click()
    expect(page.get_by_text("till-7 · ", exact=False)).to_have_count(0)
    page.get_by_text("Also those that ended").click()
    expect(page.get_by_text("(revoked)").last).to_be_visible()
    for key in (first, second):  # each process may know a key for some seconds
        deadline = time.monotonic() + WAIT_SECONDS
        while _status(server, key) != 401:
            assert time.monotonic() < deadline
            time.sleep(0.5)


BUTTONS = ("Добавить вебхук", "Создать ключ")


@pytest.mark.parametrize("button", BUTTONS)
def test_the_forms_on_a_telephone_in_the_dark_in_russian(
    narrow: Page, shown: tuple[Server, str], button: str
) -> None:
    server, _ = shown
    opened(narrow, server, "/operations")
    narrow.get_by_role("button", name=button).click()
    expect(narrow.get_by_role("dialog")).to_be_visible()
    checked(narrow, f"narrow-operations-form-{BUTTONS.index(button)}")


def _secret(page: Page, title: str) -> str:
    """The key that a dialog shows; it is closed."""
    told = dialog(page, title)
    expect(told.get_by_text("It is shown only now", exact=False)).to_be_visible()
    secret = told.locator(".points-plain").inner_text()
    told.get_by_role("button", name="Close").click()
    return secret


def _status(server: Server, key: str) -> int:
    return httpx.get(f"{server.url}/v1/me", headers={"Authorization": f"Bearer {key}"}).status_code
