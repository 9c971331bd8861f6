"""What the running API holds: one ledger, one door, sessions for reading, the access layer."""

from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool

from api.asking import Asking
from api.caller import Access
from api.door import Door
from api.ingest import Ingest
from ledger.application import Ledger
from ledger.settings import Settings


@dataclass
class State:
    """Everything that operations share. `reads`: sessions for questions to the read models and the
    log, used from threads."""

    settings: Settings
    ledger: Ledger
    door: Door
    asking: Asking
    reads: ConnectionPool[Connection[Any]]
    access: Access
    ingest: Ingest
    parts: dict[str, Any] = field(default_factory=dict)
    """What groups of operations keep for themselves, by their name."""
