"""Real PostgreSQL 18 and real Apache Kafka 4.1.1 on this machine, from Python packages alone.

    services = start(Path("data"), progress=print)   # idempotent; returns when both answer
    services.database_url, services.kafka_bootstrap
    status(Path("data"))                             # looks, changes nothing
    stop(Path("data"))                               # keeps the data
    remove(Path("data"))                             # deletes it
    with running(Path("data")) as services: ...      # stopped at the end of the block

The servers outlive the process that started them and listen on loopback only. The packages are
the extra `points-ledger[embedded]`, imported when first needed. Every failure is an
`EmbeddedServicesError` with a code and one sentence. Nothing here imports other parts of the
project, and nothing is ever done to a process or a folder that is not ours.
"""

from .errors import EmbeddedServicesError
from .ports import find_free_ports
from .services import remove, running, start, status, stop
from .state import Services, ServicesStatus, ServiceStatus

__all__ = [
    "EmbeddedServicesError",
    "ServiceStatus",
    "Services",
    "ServicesStatus",
    "find_free_ports",
    "remove",
    "running",
    "start",
    "status",
    "stop",
]
