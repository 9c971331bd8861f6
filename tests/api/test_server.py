"""`points api serve` as a process: it listens, answers, and ends in order."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from deploy.embedded import Services

START_SECONDS = 300


@contextmanager
def served(
    url: str, kafka: str, *options: str, **more: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A running server, and where it listens. `more`: of its environment."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("POINTS_")}
    environ |= {"POINTS_DATABASE_URL": url, "POINTS_KAFKA_BOOTSTRAP": kafka, **more}
    command = [sys.executable, "-m", "cli.main", "api", "serve", "--port", "0", *options]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("api: http://"), line + str(
                process.stderr and process.stderr.read()
            )
            yield process, line.split()[1].removesuffix("/v1").removeprefix("http://")
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_and_ends_in_order(
    ledger_url: str, services: Services, number: signal.Signals
) -> None:
    with served(ledger_url, services.kafka_bootstrap) as (process, address):
        connection = http.client.HTTPConnection(address, timeout=START_SECONDS)
        for path, status in (("/livez", 200), ("/readyz", 200), ("/v1/nothing", 404)):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == status
            answer.read()
        connection.request("POST", "/v1/members/anna/redemptions", b"{}", {"Idempotency-Key": "k"})
        assert connection.getresponse().status == 401
        connection.close()
        process.send_signal(number)
        assert process.wait(START_SECONDS) == 0, process.stderr and process.stderr.read()


def test_a_taken_port_and_a_missing_ledger_are_told(ledger_url: str, services: Services) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        for url, wanted, code in (
            (ledger_url, port, "port_in_use"),
            (services.database_url, "0", "no_ledger"),
        ):
            environ = {k: v for k, v in os.environ.items() if not k.startswith("POINTS_")}
            environ["POINTS_DATABASE_URL"] = url
            environ["POINTS_KAFKA_BOOTSTRAP"] = services.kafka_bootstrap
            ended = subprocess.run(
                [sys.executable, "-m", "cli.main", "api", "serve", "--port", wanted],
                env=environ,
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
            )
            assert ended.returncode == 1
            assert f"[{code}]" in ended.stderr, ended.stderr


def test_a_body_that_never_ends_is_given_up(ledger_url: str, services: Services) -> None:
    with served(ledger_url, services.kafka_bootstrap) as (_, address):
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port)), timeout=START_SECONDS) as line:
            line.sendall(
                b"POST /v1/members/anna/redemptions HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\n"
                b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
            )
            answer = line.recv(10_000)
            assert answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 401")), answer


def test_one_address_cannot_have_all_connections(ledger_url: str, services: Services) -> None:
    bounds = {"POINTS_API_CONNECTIONS": "3", "POINTS_API_CONNECTIONS_PER_ADDRESS": "2"}
    with (
        served(ledger_url, services.kafka_bootstrap, **bounds) as (_, address),
        ExitStack() as lines,
    ):
        host, _, port = address.partition(":")

        def status(source: str) -> bytes:
            line = socket.create_connection((host, int(port)), START_SECONDS, (source, 0))
            lines.enter_context(line)
            try:
                line.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                return line.recv(10_000)[9:12]
            except ConnectionError:  # closed before it read what we say
                return b"503"

        assert [status("127.0.0.1") for _ in range(3)] == [b"200", b"200", b"503"]
        assert [status("127.0.0.2") for _ in range(2)] == [b"200", b"503"]
