"""What processes used: their CPU and their memory, ours and those of PostgreSQL and Kafka."""

from pathlib import Path

import psutil

from deploy import embedded


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used so far, all its threads."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def peak_mib(pid: int) -> int:
    """The largest resident size of a process so far (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0


class ServerCpu:
    """The CPU of PostgreSQL (every backend, alive or ended) and of Kafka."""

    def __init__(self, services: embedded.Services) -> None:
        self._postgres = psutil.Process(services.postgres_pid)
        self._kafka = psutil.Process(services.kafka_pid)

    def seconds(self) -> tuple[float, float]:
        """Of PostgreSQL and of Kafka, so far."""
        own = self._postgres.cpu_times()
        # What backends used that have ended is counted in their parent.
        postgres = own.user + own.system + own.children_user + own.children_system
        for child in self._postgres.children():
            try:
                times = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            postgres += times.user + times.system
        kafka = self._kafka.cpu_times()
        return float(postgres), float(kafka.user + kafka.system)
