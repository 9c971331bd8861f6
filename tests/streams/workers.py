"""Worker processes, events to feed them, and questions to the database about what they did."""

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from cli.main import main
from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("program.yaml")
SHARDS = 32

DEADLINE_SECONDS = 300.0
"""For anything a test waits for: some hundred times what it takes, for machines with other work."""

STOP_SECONDS = 60.0
"""For a graceful stop at a test's end."""

ANSWER_SECONDS = 60.0
"""For an answer of a worker's probes."""

Event = tuple[str, str | None, bytes | None]
"""Topic, key, value."""


class Finished(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Stage(NamedTuple):
    """A ledger in a database, topics to feed it from, and the settings of its workers."""

    database: str
    bootstrap: str

    def environment(self, **settings: object) -> dict[str, str]:
        ours = {
            "POINTS_DATABASE_URL": self.database,
            "POINTS_KAFKA_BOOTSTRAP": self.bootstrap,
            "PYTHONPATH": str(ROOT),
        }
        given = {f"POINTS_{name.upper()}": str(value) for name, value in settings.items()}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("POINTS_")}
        return {**inherited, **ours, **given}

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def change(self, query: str, *values: object) -> None:
        with psycopg.connect(self.database) as connection:
            connection.execute(query.encode(), values)

    def outcomes(self) -> dict[tuple[str, str], int]:
        rows = self.ask("SELECT source, outcome, sum(n) FROM ledger.outcome_counts GROUP BY 1, 2")
        return {(source, outcome): int(n) for source, outcome, n in rows if n}

    def fingerprint(self) -> dict[str, tuple[int, str]]:
        """Rows and a hash of every table of the ledger: equal when nothing was touched."""
        tables = self.ask(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname = 'ledger' AND relkind = 'r' ORDER BY relname"
        )
        return {
            name: self.ask(
                "SELECT count(*), md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), ''))"
                f" FROM ledger.{name} t"
            )[0]
            for (name,) in tables
        }

    def handled(self) -> int:
        return sum(self.outcomes().values())

    def points(self, *arguments: str) -> Finished:
        """Run a command of the CLI to its end, in this process: starting one takes seconds."""
        out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["points", *arguments])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as end:
                main()
        out.seek(0)
        code = end.value.code
        return Finished(code if isinstance(code, int) else 0, out.read(), err.getvalue())


def make_stage(database: str, bootstrap: str) -> Stage:
    """A new ledger of the tests' program."""
    migrate(database)
    create_ledger(database, load_program(PROGRAM.read_text(), PROGRAM.name), SHARDS)
    return Stage(database, bootstrap)


class Worker:
    """One worker process."""

    def __init__(self, stage: Stage, log: Path, *arguments: str, **settings: object) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "worker", "--log-file", str(log), *arguments],
            env=stage.environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._url: str | None = None

    @property
    def url(self) -> str:
        if self._url is None:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            assert line.startswith("worker: http://"), (line, self.process.communicate())
            self._url = line.split()[1].removesuffix("/metrics")
        return self._url

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=ANSWER_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        lines = self.get("/metrics")[1].splitlines()
        found = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def counts(self, name: str, value: float) -> None:
        """Wait until a metric has a value: what the database shows is counted a moment later."""
        until(lambda: self.metric(name) == value, f"{name} = {value}")

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def wait(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Nothing is left of it. A worker that still runs leaves the group first, so that the next
        test does not wait for its session to time out."""
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.communicate()

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextlib.contextmanager
def running(stage: Stage, log: Path, *arguments: str, **settings: object) -> Iterator[Worker]:
    """A worker that does not outlive the block."""
    worker = Worker(stage, log, *arguments, **settings)
    try:
        yield worker
    finally:
        worker.close()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.05)


def send(bootstrap: str, events: Iterable[Event], partition: int | None = None) -> int:
    """Produce events and wait until Kafka has them; how many."""

    async def produce() -> int:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
        await producer.start()
        try:
            sent = [
                await producer.send(
                    topic, value, key=None if key is None else key.encode(), partition=partition
                )
                for topic, key, value in events
            ]
            await asyncio.gather(*sent)
            return len(sent)
        finally:
            await producer.stop()

    return asyncio.run(produce())


def event(type_name: str, subject: str, number: str, time: str, data: dict[str, Any]) -> bytes:
    """A CloudEvent, structured mode."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": number,
            "source": "test",
            "type": type_name,
            "time": time,
            "subject": subject,
            "data": data,
        }
    ).encode()


def purchase(member: str, order: str, at: str = "2023-05-01T12:00:00Z", **data: Any) -> Event:
    """A purchase of 12.34."""
    lines = [{"line_id": "1", "sku": "apple", "amount": 1234}]
    full = {
        "order_id": order,
        "store_id": "s1",
        "channel": "store",
        "currency": "USD",
        "lines": lines,
    }
    value = event("purchase.completed.v1", member, order, at, {**full, **data})
    return ("purchases", member, value)


def survey(member: str, completion: str, at: str = "2023-04-01T12:00:00Z") -> Event:
    """A completed survey."""
    data = {"survey_id": "welcome", "completion_id": completion}
    return ("surveys", member, event("survey.completed.v1", member, completion, at, data))


def activity(member: str, name: str, reference: str, at: str = "2023-04-01T12:00:00Z") -> Event:
    """A completed activity."""
    data = {"activity": name, "reference": reference}
    value = event("activity.completed.v1", member, f"{name}-{member}-{reference}", at, data)
    return ("activities", member, value)


def referral(referee: str, referrer: str, at: str = "2023-03-01T12:00:00Z") -> Event:
    """A referral."""
    data = {"referrer_id": referrer, "code": "CODE"}
    value = event("referral.registered.v1", referee, f"{referrer}-{referee}", at, data)
    return ("referrals", referee, value)


def enrolment(member: str, at: str = "2023-02-01T12:00:00Z") -> Event:
    """An enrolment with a profile."""
    data = {"profile": {"region": "north", "tags": ["new"]}}
    return ("members", member, event("member.enrolled.v1", member, f"e-{member}", at, data))
