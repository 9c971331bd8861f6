"""What is remembered of a data folder between two commands: `services.json`.

It holds the ports, the place of PostgreSQL's files and the last pids. The pids are hints only (see
processes.py); whether something runs is always asked of the system. The file holds the database
URL with its password and is therefore readable by its owner alone.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .errors import EmbeddedServicesError
from .files import write_atomically


@dataclass(frozen=True, slots=True)
class Services:
    """Running services: what a program needs to use them and a person to look after them."""

    database_url: str
    kafka_bootstrap: str
    data_dir: Path
    postgres_pid: int
    kafka_pid: int
    postgres_log: Path
    kafka_log: Path


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service: `running` is a live process of ours, `answering` that it serves requests."""

    running: bool
    answering: bool
    pid: int | None
    port: int | None
    log: Path


@dataclass(frozen=True, slots=True)
class ServicesStatus:
    """Both services of a data folder; `services` only if both answer."""

    data_dir: Path
    postgres: ServiceStatus
    kafka: ServiceStatus
    services: Services | None


@dataclass(frozen=True, slots=True)
class State:
    """The content of services.json; None is what was never chosen."""

    postgres_home: str | None = None
    postgres_port: int | None = None
    kafka_port: int | None = None
    kafka_controller_port: int | None = None
    postgres_pid: int | None = None
    kafka_pid: int | None = None
    database_url: str | None = None
    kafka_bootstrap: str | None = None
    # Once made, missing data is a loss to report, never a reason to begin an empty ledger.
    postgres_made: bool = False


# The usual `postgres_home`, relative to the data folder, so that it is right in a moved or copied
# folder too. Only a home outside is remembered as an absolute path.
POSTGRES_INSIDE = "postgres"

STATE_FILE = "services.json"
PASSWORD_FILE = "postgres-password"


def read(data_dir: Path) -> State:
    """The remembered state, empty if there is none. Raises: data_dir_damaged."""
    path = data_dir / STATE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        state = State(**content)
        for name, value in asdict(state).items():
            kind: type = int if name.endswith(("_port", "_pid")) else str
            kind = bool if name == "postgres_made" else kind
            if value is not None and type(value) is not kind:
                raise TypeError(name)
    except (FileNotFoundError, NotADirectoryError):
        return State()
    except (ValueError, TypeError) as error:
        raise EmbeddedServicesError(
            "data_dir_damaged",
            f"{path} cannot be read ({error}): put it back from a backup or "
            "choose a new folder with --data-dir.",
        ) from error
    # Earlier versions wrote the absolute path also of a home inside, always of this name.
    if state.postgres_home is not None and Path(state.postgres_home).name == POSTGRES_INSIDE:
        state = replace(state, postgres_home=POSTGRES_INSIDE)
    return state


def write(data_dir: Path, state: State) -> None:
    """Remember the state."""
    write_atomically(data_dir / STATE_FILE, json.dumps(asdict(state), indent=2) + "\n")


def forget_pids(data_dir: Path, state: State) -> None:
    """Remember that nothing runs; the rest is kept for the next start."""
    write(data_dir, replace(state, postgres_pid=None, kafka_pid=None))


def owner(data_dir: Path) -> int | None:
    """The uid of whoever started services here before, None if nobody did."""
    # The password outlives a services.json that someone deleted.
    for name in (STATE_FILE, PASSWORD_FILE):
        try:
            return (data_dir / name).stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            pass  # nobody left this one; with neither of them nobody ever started here
    return None
