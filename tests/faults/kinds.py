"""What each fault does, and how what it broke comes back. Times are from the schedule."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping

import psutil
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.topics import CONSUMED
from tests.faults.processes import Process
from tests.faults.scene import GROUP, PARTITIONS, SESSION_SECONDS, Scene
from tests.faults.schedule import Kind, Round, Strike

IN_APPEND_TRIES = 100
"""How often a worker is stopped and let go until it stands inside an append."""

ANSWERED_SECONDS = 0.02
"""Until PostgreSQL has done what the frozen worker had asked for: then it waits for its client."""

IN_APPEND_PAUSE_SECONDS = 0.005
"""Between two tries: an append takes some tens of milliseconds."""

UP_TRIES = 300
UP_PAUSE_SECONDS = 0.1
"""Until a third worker is up: two seconds, on a busy machine many, never while PostgreSQL is away.
"""

RESET_TRIES = 100
RESET_PAUSE_SECONDS = 0.2
"""The group is empty once its last worker has left, which the broker learns a moment later."""

_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
)
_INSIDE = (
    "SELECT count(*) FROM pg_stat_activity WHERE client_port = ANY(%s) AND xact_start IS NOT NULL"
    " AND (state = 'idle in transaction' OR wait_event = 'ClientRead')"
)
"""Sessions that stand inside a transaction and wait for their client."""


class Faults:
    """Strikes at a scene. `inside_append`: how many frozen workers stood inside a transaction."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.frozen = 0
        self.inside_append = 0
        self._kinds: Mapping[Kind, Callable[[Strike], Awaitable[None]]] = {
            "worker killed": self._worker_killed,
            "worker frozen": self._worker_frozen,
            "worker stopped": self._worker_stopped,
            "third worker": self._third_worker,
            "kafka killed": self._kafka_killed,
            "postgres killed": self._postgres_killed,
            "connections cut": self._connections_cut,
            "offsets reset": self._offsets_reset,
            "projections killed": self._projections_killed,
        }

    async def strike(self, chosen: Round) -> None:
        """All faults of a round; returns when what they broke is started again. `duplicates` and
        `poison` are among the round's records already."""

        async def one(strike: Strike) -> None:
            if strike.kind in self._kinds:
                await asyncio.sleep(strike.after)
                await self._kinds[strike.kind](strike)

        await asyncio.gather(*(one(strike) for strike in chosen.strikes))

    def _worker(self, strike: Strike) -> Process:
        return self._scene.workers[strike.victim]

    async def _worker_killed(self, strike: Strike) -> None:
        worker = self._worker(strike)
        worker.kill()
        await asyncio.sleep(strike.pause)
        worker.start()

    async def _worker_frozen(self, strike: Strike) -> None:
        """Its partitions go to the other one; then it wakes and goes on where it stood."""
        worker = self._worker(strike)
        self.frozen += 1
        self.inside_append += await self._freeze_inside_append(worker)
        await asyncio.sleep(SESSION_SECONDS + strike.pause)
        worker.thaw()

    async def _freeze_inside_append(self, worker: Process) -> bool:
        """Freeze it, if possible in the middle of a transaction; whether it was."""
        try:
            connecting = psycopg.AsyncConnection.connect(
                self._scene.services.database_url, autocommit=True
            )
            async with await connecting as connection:
                for _ in range(IN_APPEND_TRIES):
                    worker.freeze()
                    if await _inside_append(worker, connection):
                        return True
                    worker.thaw()
                    await asyncio.sleep(IN_APPEND_PAUSE_SECONDS)
        except (psycopg.OperationalError, psutil.NoSuchProcess):
            pass  # another fault has taken PostgreSQL away, or the worker has given up
        worker.freeze()
        return False

    async def _worker_stopped(self, strike: Strike) -> None:
        worker = self._worker(strike)
        await self._stopped(worker)
        await asyncio.sleep(strike.pause)
        worker.start()

    async def _stopped(self, worker: Process) -> None:
        """A graceful stop. A worker that has just given up, or that finds no Kafka to say goodbye
        to, may end with an error of its own; one that was still starting heeds no signal."""
        fine = (0, 1) if worker.up else (0, 1, -signal.SIGTERM)
        status = await asyncio.to_thread(worker.terminate)
        if status not in fine:
            self._scene.findings.append(f"{worker.name}: status {status} after a graceful stop")

    async def _third_worker(self, strike: Strike) -> None:
        third = self._scene.third
        third.start()
        for _ in range(UP_TRIES):
            if third.up:
                break
            await asyncio.sleep(UP_PAUSE_SECONDS)
        await asyncio.sleep(SESSION_SECONDS + strike.pause)
        await self._stopped(third)

    async def _kafka_killed(self, strike: Strike) -> None:
        await self._scene.kill_kafka()
        await asyncio.sleep(strike.pause)
        await self._scene.restart_services()

    async def _postgres_killed(self, strike: Strike) -> None:
        await self._scene.kill_postgres()
        await asyncio.sleep(strike.pause)
        await self._scene.restart_services()

    async def _connections_cut(self, strike: Strike) -> None:
        try:
            connecting = psycopg.AsyncConnection.connect(
                self._scene.services.database_url, autocommit=True
            )
            async with await connecting as connection:
                await connection.execute(_CUT)
        except psycopg.OperationalError:
            pass  # PostgreSQL is away by another fault: there is nothing to cut

    async def _offsets_reset(self, strike: Strike) -> None:
        """All workers leave, Kafka is told that nothing was ever read, they come back."""
        workers = self._scene.workers
        await asyncio.gather(*(self._stopped(worker) for worker in workers))
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._scene.services.kafka_bootstrap,
            group_id=GROUP,
            enable_auto_commit=False,
        )
        partitions = [TopicPartition(t, p) for t in CONSUMED for p in range(PARTITIONS)]
        await consumer.start()
        try:
            consumer.assign(partitions)
            for tries_left in reversed(range(RESET_TRIES)):
                try:
                    await consumer.commit(dict.fromkeys(partitions, 0))
                    break
                except KafkaError:
                    if not tries_left:
                        raise
                    await asyncio.sleep(RESET_PAUSE_SECONDS)
        finally:
            await consumer.stop()
        for worker in workers:
            worker.start()

    async def _projections_killed(self, strike: Strike) -> None:
        self._scene.projections.kill()
        await asyncio.sleep(strike.pause)
        self._scene.projections.start()


async def _inside_append(worker: Process, connection: psycopg.AsyncConnection) -> bool:
    """Whether a frozen worker has left a transaction open: only an append is longer than a call."""
    ports = [
        each.laddr.port
        for each in psutil.Process(worker.pid).net_connections(kind="tcp")
        if each.status == psutil.CONN_ESTABLISHED
    ]
    await asyncio.sleep(ANSWERED_SECONDS)
    row = await (await connection.execute(_INSIDE, (ports,))).fetchone()
    return row is not None and row[0] > 0
