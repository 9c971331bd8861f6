"""The API as a process of its own, for tests that kill it."""

import os
import subprocess
import sys
from typing import IO

from deploy.embedded.ports import find_free_ports

START_SECONDS = 300
"""For a command that takes two."""

COMMAND = (sys.executable, "-m", "cli.main")


def environment(url: str, kafka: str, **more: str) -> dict[str, str]:
    """Of a process on these services, with more settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("POINTS_")}
    return {**kept, "POINTS_DATABASE_URL": url, "POINTS_KAFKA_BOOTSTRAP": kafka, **more}


class Server:
    """A server that can be killed and started again on the same port."""

    def __init__(self, url: str, kafka: str, log: IO[bytes], **more: str) -> None:
        """`more`: other variables of its environment."""
        self.environment = environment(url, kafka, **more)
        self._log = log
        (port,) = find_free_ports(1)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns once it listens."""
        self._process = subprocess.Popen(
            [*COMMAND, "api", "serve", "--port", str(self.port)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.starts += 1
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith(b"api: "), line

    def kill(self) -> None:
        """End it at once, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


def key_of(url: str, kafka: str, client: str, *scopes: str, person: str | None = None) -> str:
    """A new key with these scopes, as the command line makes it; of a person if one is named."""
    options = [option for scope in scopes for option in ("--scope", scope)]
    if person is not None:
        options += ["--person", person]
    made = subprocess.run(
        [*COMMAND, "api", "keys", "create", "--client", client, *options, "--rate", "100000"],
        env=environment(url, kafka),
        capture_output=True,
        text=True,
        check=True,
        timeout=START_SECONDS,
    )
    return next(word for word in made.stdout.split() if word.startswith("pl_"))
