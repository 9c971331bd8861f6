"""The embedded services for real: used, stopped, killed, and disturbed by others.

Every test starts real servers. It must never touch a server that it did not start, nor leave one
running.
"""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy import embedded
from deploy.embedded import EmbeddedServicesError, Services, processes, state
from deploy.embedded import ports as embedded_ports

TOPIC = "test"

# Seconds for a record to come back from a broker that already answers: one or two, usually.
READ_SECONDS = 300.0

# Of a process that stands for another program: longer than any test.
SLEEP_SECONDS = "3600"


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a folder, with 'signs'"
    yield folder
    embedded.remove(folder)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services for the tests that only look."""
    folder = tmp_path_factory.mktemp("shared") / "data"
    yield embedded.start(folder)
    embedded.remove(folder)


def write_row(services: Services, value: int) -> None:
    with psycopg.connect(services.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", (value,))


def read_rows(services: Services) -> list[int]:
    with psycopg.connect(services.database_url) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM kept ORDER BY value")]


async def _produce(services: Services, value: bytes) -> None:
    servers = services.kafka_bootstrap
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        if TOPIC not in await admin.list_topics():
            await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(TOPIC, value)
    finally:
        await producer.stop()


async def _consume(services: Services, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=services.kafka_bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(READ_SECONDS):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def write_record(services: Services, value: bytes) -> None:
    asyncio.run(_produce(services, value))


def read_records(services: Services, count: int) -> list[bytes]:
    return asyncio.run(_consume(services, count))


def is_gone(pid: int) -> bool:
    """True also for a process that only waits for init to notice its end."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READ_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_data_and_ports_are_kept_over_down_and_up(data_dir: Path) -> None:
    lines: list[str] = []
    first = embedded.start(data_dir, progress=lines.append)
    write_row(first, 1)
    write_record(first, b"one")
    assert any("PostgreSQL" in line for line in lines)
    assert (data_dir / "services.json").stat().st_mode & 0o077 == 0
    assert (data_dir / "postgres-password").stat().st_mode & 0o077 == 0

    embedded.stop(data_dir)
    stopped = embedded.status(data_dir)
    assert stopped.services is None
    assert not stopped.postgres.running
    assert not stopped.kafka.running
    assert is_gone(first.postgres_pid)
    assert is_gone(first.kafka_pid)
    assert "shut down completed" in first.kafka_log.read_text()
    embedded.stop(data_dir)  # nothing to do, nothing to complain about

    second = embedded.start(data_dir)
    assert second.database_url == first.database_url
    assert second.kafka_bootstrap == first.kafka_bootstrap
    assert read_rows(second) == [1]
    assert read_records(second, 1) == [b"one"]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose services are killed and started by one test after the other."""
    folder = tmp_path_factory.mktemp("tried") / "data"
    yield folder
    embedded.remove(folder)


def test_both_come_back_with_their_data_after_kill_9(tried: Path) -> None:
    data_dir = tried
    first = embedded.start(data_dir)
    write_row(first, 1)
    write_record(first, b"one")
    for pid in (first.postgres_pid, first.kafka_pid):
        os.kill(pid, signal.SIGKILL)

    second = embedded.start(data_dir)
    assert second.postgres_pid != first.postgres_pid
    assert second.kafka_pid != first.kafka_pid
    assert second.database_url == first.database_url
    assert read_rows(second) == [1]
    assert read_records(second, 1) == [b"one"]


def test_foreign_processes_and_ports_are_left_alone(tried: Path) -> None:
    data_dir = tried
    first = embedded.start(data_dir)
    write_row(first, 2)
    rows = read_rows(first)
    os.kill(first.postgres_pid, signal.SIGKILL)
    os.kill(first.kafka_pid, signal.SIGKILL)
    wait_until(lambda: embedded.status(data_dir).postgres.pid is None)
    wait_until(lambda: embedded.status(data_dir).kafka.pid is None)

    remembered = state.read(data_dir)
    assert remembered.postgres_home
    port = remembered.kafka_port
    assert port is not None
    wait_until(lambda: embedded_ports.is_free(port))
    pid_file = data_dir / remembered.postgres_home / "data" / "postmaster.pid"
    # As after a restart of the machine: other programs have our pids and one of our ports. The one
    # in PostgreSQL's own pid file has the user that PostgreSQL runs as, which stops PostgreSQL.
    owner = pid_file.parent.stat()
    drop = {} if os.geteuid() else {"user": owner.st_uid, "group": owner.st_gid}
    with (
        subprocess.Popen(["sleep", SLEEP_SECONDS], cwd="/", **drop) as foreign,  # type: ignore[call-overload]
        socket.create_server(("127.0.0.1", port)) as listener,
    ):
        try:
            lines = pid_file.read_text().splitlines()
            pid_file.write_text("\n".join([str(foreign.pid), *lines[1:]]) + "\n")
            state.write(
                data_dir,
                replace(remembered, postgres_pid=foreign.pid, kafka_pid=foreign.pid),
            )
            seen = embedded.status(data_dir)
            assert not seen.postgres.running
            assert not seen.kafka.running

            told: list[str] = []
            second = embedded.start(data_dir, progress=told.append)
            assert any(str(port) in line and "taken" in line for line in told)
            assert second.kafka_bootstrap != first.kafka_bootstrap
            assert foreign.pid not in (second.postgres_pid, second.kafka_pid)
            assert read_rows(second) == rows
            write_record(second, b"on another port")
            embedded.stop(data_dir)
            assert foreign.poll() is None
            assert listener.fileno() >= 0
        finally:
            foreign.kill()


def test_a_server_is_no_shell_any_more_once_launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the shell's child takes its time to become the server."""
    slow = """{ sleep 0.5; exec "$@"; } </dev/null >&2 & echo $!"""
    monkeypatch.setattr(processes, "_DETACH", slow)
    pid = processes.launch(
        ["sleep", SLEEP_SECONDS],
        log=tmp_path / "log",
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        user={},
    )
    try:
        assert processes.is_live(pid, lambda argv, _: list(argv) == ["sleep", SLEEP_SECONDS])
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_server_that_is_not_seen_for_a_moment_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command line is another one, or none, while the machine is busy with it."""
    argv = ["sh", "-c", f"until [ -e asked ]; do sleep 0.1; done; exec sleep {SLEEP_SECONDS}"]
    path = {"PATH": os.environ["PATH"]}
    pid = processes.launch(argv, log=tmp_path / "log", cwd=tmp_path, env=path, user={})

    def is_it(argv: Sequence[str], _: str | None) -> bool:
        (tmp_path / "asked").touch()  # from now on it is seen, a moment later
        return list(argv) == ["sleep", SLEEP_SECONDS]

    assert not processes.is_live(pid, is_it)
    with monkeypatch.context() as patient:
        patient.setattr(processes, "_UNSEEN_SECONDS", READ_SECONDS)
        assert not processes.has_ended(pid, is_it)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))
    assert processes.has_ended(pid, is_it)


def test_a_server_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    began = time.monotonic()
    pid = processes.launch(["true"], log=tmp_path / "log", cwd=tmp_path, env={}, user={})
    assert time.monotonic() - began < processes._LAUNCH_SECONDS / 2
    wait_until(lambda: is_gone(pid))


def test_what_answers_at_our_ports_may_be_the_services_of_another_folder(
    shared: Services, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two starts at once chose the same ports, both while they were free, and we came second."""
    taken = state.read(shared.data_dir)
    choose = embedded_ports.find_free_ports
    unlucky = [taken.kafka_port, None, taken.postgres_port]  # the controller's is in between

    def find_free_ports(count: int, **more: Any) -> list[int]:
        port = unlucky.pop(0) if unlucky else None
        return choose(count, **more) if port is None else [port]

    monkeypatch.setattr(embedded_ports, "find_free_ports", find_free_ports)
    # A copied folder has the same password, and would be let in.
    password = (shared.data_dir / state.PASSWORD_FILE).read_text().strip()
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: password)
    ours = embedded.start(data_dir)
    assert not unlucky
    assert ours.kafka_bootstrap != shared.kafka_bootstrap
    assert ours.database_url.rpartition(":")[2] != shared.database_url.rpartition(":")[2]
    assert embedded.status(shared.data_dir).services == shared


def test_a_service_that_dies_while_the_other_starts_is_started_too(tried: Path) -> None:
    data_dir = tried
    first = embedded.start(data_dir)
    os.kill(first.kafka_pid, signal.SIGKILL)
    wait_until(lambda: is_gone(first.kafka_pid))

    def kill_the_other(line: str) -> None:
        if "Starting Apache Kafka" in line:
            os.kill(first.postgres_pid, signal.SIGKILL)
            wait_until(lambda: is_gone(first.postgres_pid))

    second = embedded.start(data_dir, progress=kill_the_other)
    assert second.database_url == first.database_url
    assert second.postgres_pid != first.postgres_pid
    assert embedded.status(data_dir).services == second


def test_second_start_is_idempotent_also_at_the_same_time(shared: Services) -> None:
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(embedded.start, [shared.data_dir, shared.data_dir]))
    assert again == [shared, shared]
    assert embedded.status(shared.data_dir).services == shared


def test_a_running_service_does_not_move_to_another_port(shared: Services) -> None:
    with pytest.raises(EmbeddedServicesError) as caught:
        embedded.start(shared.data_dir, kafka_port=1234)
    assert caught.value.code == "already_running"


def test_only_loopback_is_listened_on(shared: Services) -> None:
    for pid in (shared.postgres_pid, shared.kafka_pid):
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(pid).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_the_settings_that_points_depend_on(shared: Services) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_wal_size": "4GB",
        "shared_buffers": "256MB",
        "max_connections": "100",
    }
    with psycopg.connect(shared.database_url) as connection:
        for name, value in expected.items():
            shown = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            assert shown == (value,), name
        shown = connection.execute("SHOW wal_compression").fetchone()
        assert shown in [("lz4",), ("off",)]  # never pglz: it costs an append twice its time
    wrong = shared.database_url.replace("points:", "points:x")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_a_second_folder_runs_beside_and_remove_leaves_nothing(
    shared: Services, data_dir: Path
) -> None:
    with embedded.running(data_dir) as other:
        ours = {shared.database_url, shared.kafka_bootstrap}
        assert not ours & {other.database_url, other.kafka_bootstrap}
        write_row(other, 2)
    assert not embedded.status(data_dir).postgres.running
    assert embedded.status(shared.data_dir).services == shared
    home = state.read(data_dir).postgres_home
    assert home is not None
    embedded.remove(data_dir)
    assert not data_dir.exists()
    assert not (data_dir / home).exists()
