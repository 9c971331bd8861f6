"""The compose file and the image as far as they can be judged without running containers."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    assert lasting == {"postgres", "kafka", "worker", "projections"}
    for name in lasting:
        assert "healthcheck" in compose["services"][name], name


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
