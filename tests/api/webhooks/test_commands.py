"""`points webhooks …`: the same as over HTTP, and the process that delivers."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from typing import Any

import pytest
from typer.testing import CliRunner

from api.webhooks import making
from cli.app import app
from tests.api.webhooks.receiver import WAIT_SECONDS, Receiver
from tests.projections.conftest import Shop
from tests.projections.log_writer import day, purchase


@pytest.fixture
def points(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command; its output."""
    monkeypatch.setenv("POINTS_DATABASE_URL", shop.url)
    monkeypatch.setenv("POINTS_WEBHOOKS_PRIVATE_ADDRESSES", "allow")

    def run(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(app, ["webhooks", *words])
        assert result.exit_code == status, result.output
        return result.stdout

    return run


def test_a_webhook_by_commands(points: Any, shop: Shop, receiver: Receiver) -> None:
    made = json.loads(points("add", receiver.url, "--type", "points.*", "--json"))
    id_ = made["webhook"]["id"]
    assert made["secret"].startswith("whsec_")
    assert made["webhook"]["types"] == ["points.*"]
    assert "paused (by hand)" in points("pause", id_)
    assert id_ in points("list")
    assert "active" in points("resume", id_)
    assert json.loads(points("rotate", id_, "--json"))["secret"] != made["secret"]
    shop.log.take("m1", purchase("o1", day(1), (1_000,)))
    making.make(shop.session)
    (found,) = json.loads(points("deliveries", id_, "--json"))["items"]
    assert found["payload"]["data"]["order_id"] == "o1"
    assert found["id"] in points("deliveries", id_, "--status", "waiting")
    assert points("repeat", found["id"]) == f"{found['id']}: waiting\n"
    assert points("test", id_).startswith("test_")
    points("deliveries", id_, "--status", "lost", status=2)
    points("remove", id_)
    points("pause", id_, status=1)
    assert points("list") == "0 webhooks\n"


def test_the_process_delivers_shows_metrics_and_ends_in_order(
    points: Any, shop: Shop, receiver: Receiver
) -> None:
    points("add", receiver.url)
    shop.log.take("m1", purchase("o1", day(1), (1_000,)))
    command = [sys.executable, "-m", "cli.main", "webhooks", "run"]
    with subprocess.Popen(
        command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("webhooks: http://127.0.0.1:"), line
            receiver.wait_for(2)
            with urllib.request.urlopen(line.split()[1], timeout=WAIT_SECONDS) as answer:
                assert b"points_webhook_attempts_total" in answer.read()
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=WAIT_SECONDS)
            assert process.returncode == 0, said
            assert "/hook" not in said, "who is called is not logged with every request"
        finally:
            if process.poll() is None:
                process.kill()
