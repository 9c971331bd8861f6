"""The compose file and the image as far as they can be judged without running containers."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cli.app import app
from ledger.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())
    return loaded


def test_versions_are_those_that_are_tested(compose: dict[str, Any]) -> None:
    assert compose["services"]["kafka"]["image"] == "apache/kafka:4.1.1"
    assert compose["services"]["postgres"]["image"] == "postgres:18"


def test_there_is_no_default_password() -> None:
    text = (ROOT / "docker-compose.kafka.yml").read_text()
    assert re.findall(r"POSTGRES_PASSWORD\}", text) == [], "a plain ${…} would default to nothing"
    assert re.findall(r"POSTGRES_PASSWORD:-", text) == []
    assert len(re.findall(r"\$\{POSTGRES_PASSWORD:\?", text)) == 2


def test_data_is_in_named_volumes(compose: dict[str, Any]) -> None:
    named = set(compose["volumes"])
    for service in ("postgres", "kafka"):
        mounts = [mount.split(":")[0] for mount in compose["services"][service]["volumes"]]
        assert set(mounts) <= named


def test_every_lasting_service_has_a_health_check(compose: dict[str, Any]) -> None:
    lasting = {
        name
        for name, service in compose["services"].items()
        if str(service.get("restart", "unless-stopped")) != "no"
    }
    assert lasting == {"postgres", "kafka", "worker", "projections", "webhooks", "api"}
    for name in lasting:
        assert "healthcheck" in compose["services"][name], name


def test_the_commands_exist(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if "build" not in service:
            continue
        program, *words = service["command"]
        assert program == "points", name
        command: Any = get_command(app)
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, name


def test_a_health_check_asks_where_the_service_listens(compose: dict[str, Any]) -> None:
    api = compose["services"]["api"]
    port = api["environment"]["POINTS_API_PORT"]
    assert f"http://127.0.0.1:{port}/readyz" in api["healthcheck"]["test"][-1]
    assert api["ports"] == [f"127.0.0.1:{port}:{port}"]
    webhooks = compose["services"]["webhooks"]
    assert f":{webhooks['command'][-1]}/livez" in webhooks["healthcheck"]["test"][-1]


def test_what_the_api_keeps_is_where_the_image_may_write(compose: dict[str, Any]) -> None:
    image = (ROOT / "deploy" / "image" / "Dockerfile").read_text()
    folder = re.search(r"^ENV POINTS_DATA_DIR=(\S+)$", image, re.MULTILINE)
    assert folder is not None
    assert f"--owner=points --group=points {folder[1]}\n" in image
    assert f"points-data:{folder[1]}" in compose["services"]["api"]["volumes"]
    assert "points-data" in compose["volumes"]


def test_the_image_has_what_every_service_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in ("analytics", "api", "console"):
        wanted += project["optional-dependencies"][extra]
    pinned = (ROOT / "requirements" / "runtime.txt").read_text()
    image = (ROOT / "deploy" / "image" / "Dockerfile").read_text()
    assert "-r requirements/runtime.txt" in image
    names = {re.split(r"[\[<>=;~ ]", each)[0].lower() for each in wanted} - {"points-ledger"}
    assert len(names) > 20
    for name in names:
        assert re.search(rf"^{re.escape(name)}(\[.*\])?==", pinned, re.MULTILINE), name


def test_its_versions_are_those_that_are_tested() -> None:
    def pins(file: str) -> dict[str, str]:
        text = (ROOT / "requirements" / file).read_text()
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))

    tested = pins("dev.txt")
    assert {name: tested.get(name) for name in pins("runtime.txt")} == pins("runtime.txt")


def test_only_loopback_ports_are_published(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), port


def test_the_settings_named_exist(compose: dict[str, Any]) -> None:
    known = {f"POINTS_{name.upper()}" for name in Settings.model_fields}
    named = {
        name
        for service in compose["services"].values()
        for name in service.get("environment", {})
        if name.startswith("POINTS_")
    }
    assert named
    assert named <= known


def test_the_image_copies_every_package() -> None:
    image = (ROOT / "deploy" / "image" / "Dockerfile").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    packages = re.search(r"^packages = \[(.*)\]$", project, re.MULTILINE)
    assert packages is not None
    for package in re.findall(r'"(\w+)"', packages[1]):
        assert f"COPY {package} {package}" in image
