"""All that runs during a campaign: embedded services, two workers, a third at times, projections.

Also the supervisor, which starts again what gave up because Kafka or PostgreSQL was away; any other
end of a process is remembered as a finding.
"""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from deploy import embedded
from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate
from streams.topics import ensure_topics
from tests.faults.processes import Process

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("program.yaml")

SHARDS = 32
PARTITIONS = 8
GROUP = "campaign"

SESSION_SECONDS = 6
"""The shortest session timeout that Kafka's brokers accept: a dead worker is missed soon."""

LATENESS_SECONDS = 604_800
"""Seven days, the most there is: the campaign's world begins so long ago, and passes half an hour
in each round, so that the scheduler always stays behind it (docs/domain.md, invariant 11)."""

LOOK_SECONDS = 0.1
"""How often the supervisor looks."""

RESTART_SECONDS = 1.0
"""Pause before it starts a process again, as a service manager would."""

MAY_GIVE_UP = {"kafka_gone", "database_gone", "no_kafka", "no_connection", "database_lost"}
"""Codes with which a process may end while Kafka or PostgreSQL is away."""

STARTED_SECONDS = 120.0
"""Until the first workers have their partitions, on a busy machine."""


class Scene:
    """The processes of one campaign in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.services = embedded.start(folder / "services")
        url = self.services.database_url
        migrate(url)
        self.program = load_program(PROGRAM.read_text(), PROGRAM.name)
        create_ledger(url, self.program, SHARDS)
        environment = self._environment()
        worker = ("worker",)
        self.workers = [
            Process(name, worker, self.logs, environment) for name in ("worker-1", "worker-2")
        ]
        self.third = Process("worker-3", worker, self.logs, environment)
        self.projections = Process("projections", ("projections", "run"), self.logs, environment)
        self.findings: list[str] = []
        self.gave_up: list[str] = []
        self.services_back_at: float | None = None
        self._watching: asyncio.Task[None] | None = None

    def settings(self) -> dict[str, str]:
        """Of every process of the campaign."""
        return {
            "POINTS_DATABASE_URL": self.services.database_url,
            "POINTS_KAFKA_BOOTSTRAP": self.services.kafka_bootstrap,
            "POINTS_GROUP": GROUP,
            "POINTS_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "POINTS_ALLOWED_LATENESS_SECONDS": str(LATENESS_SECONDS),
        }

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("POINTS_")}
        return {**inherited, "PYTHONPATH": str(ROOT), **self.settings()}

    @property
    def processes(self) -> list[Process]:
        """All that the supervisor looks after."""
        return [*self.workers, self.third, self.projections]

    async def start(self) -> None:
        """Topics, processes, supervisor."""
        await ensure_topics(self.services.kafka_bootstrap, PARTITIONS)
        for process in (*self.workers, self.projections):
            process.start()
        self._watching = asyncio.create_task(self._watch(), name="supervisor")

    async def stop_workers(self) -> None:
        """A graceful stop of what appends; how they ended is looked at by `stop`."""
        await asyncio.gather(
            *(asyncio.to_thread(process.terminate) for process in (*self.workers, self.third)),
            return_exceptions=True,
        )

    async def stop(self) -> None:
        """A graceful stop of everything under test; what does not end well is a finding."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        ends = await asyncio.gather(
            *(asyncio.to_thread(process.terminate) for process in self.processes),
            return_exceptions=True,
        )
        for process, end in zip(self.processes, ends, strict=True):
            if end != 0 and process.starts:
                self.findings.append(f"{process.name} did not stop in order: {end!r}")

    def close(self, *, keep: bool) -> None:
        """Nothing runs any more; the data is deleted unless it is to be looked at."""
        if self._watching is not None:
            self._watching.cancel()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.thaw()
            process.kill()
        if keep:
            embedded.stop(self.folder / "services")
        else:
            embedded.remove(self.folder / "services")

    async def kill_kafka(self) -> None:
        """kill -9 of the broker."""
        _kill((await self._status()).kafka.pid)

    async def kill_postgres(self) -> None:
        """kill -9 of the server's first process; its sessions end by themselves."""
        _kill((await self._status()).postgres.pid)

    async def _status(self) -> embedded.ServicesStatus:
        """Asked anew: a fault before this one may have ended what was started last."""
        return await asyncio.to_thread(embedded.status, self.folder / "services")

    async def restart_services(self) -> None:
        """Start what is not there, at the same addresses. `services_back_at` is when all is."""
        before = self.services
        self.services = await asyncio.to_thread(embedded.start, self.folder / "services")
        self.services_back_at = time.monotonic()
        if (self.services.database_url, self.services.kafka_bootstrap) != (
            before.database_url,
            before.kafka_bootstrap,
        ):
            self.findings.append("a service came back at another address")

    async def _watch(self) -> None:
        restart_at: dict[str, float] = {}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for process in self.processes:
                code = process.ended_by_itself()
                if code is None:
                    continue
                if process.name not in restart_at:
                    self.gave_up.append(f"{process.name}: {code}")
                    if code not in MAY_GIVE_UP:
                        self.findings.append(
                            f"{process.name} ended by itself ({code}):\n{process.tail()}"
                        )
                    restart_at[process.name] = time.monotonic() + RESTART_SECONDS
                elif time.monotonic() >= restart_at[process.name]:
                    del restart_at[process.name]
                    process.start()


def _kill(pid: int | None) -> None:
    """kill -9, unless it is gone already."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
