"""Both services of one data folder: start, stop, look, remove.

One command at a time works on a folder (a lock in it); different folders know nothing of each
other, also when one is a copy of the other: PostgreSQL's files lie in the folder, or outside with a
note whose they are. `start` is idempotent and safe after any kill: what runs is found, what
does not is started, and what this call started is stopped again if the rest fails.
"""

import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from . import (
    jars,
    java,
    kafka,
    kafka_files,
    ports,
    postgres,
    postgres_files,
    processes,
    service_user,
    state,
)
from .errors import EmbeddedServicesError, in_one_sentence
from .files import check_free_space, exclusive, write_atomically
from .state import Services, ServicesStatus, ServiceStatus, State

Progress = Callable[[str], None]

# Seconds to wait for another command on the folder: a first start with a download fits in.
_LOCK_SECONDS = 300.0

# Tries to start a service whose freely chosen port another program took at the same moment.
_PORT_TRIES_MAX = 3

# Seconds for the kernel to take a remembered port from a dying process; then another is chosen.
_PORT_SECONDS = 3.0

_LOCK_FILE = ".lock"


def _silent(_: str) -> None:
    pass


def start(
    data_dir: Path,
    *,
    progress: Progress = _silent,
    postgres_port: int | None = None,
    kafka_port: int | None = None,
) -> Services:
    """Start what does not run yet and return when both answer. Raises: EmbeddedServicesError."""
    with _locked(data_dir, make=True) as folder:
        return _Folder(folder, progress).start(postgres_port, kafka_port)


def stop(data_dir: Path, *, progress: Progress = _silent) -> bool:
    """Stop both; nothing happens if nothing runs. False if there never were any here.

    Raises: EmbeddedServicesError.
    """
    if not _used(data_dir):
        progress(f"There are no embedded services in {_resolved(data_dir)}: nothing to stop.")
        return False
    with _locked(data_dir) as folder:
        _Folder(folder, progress).stop()
    return True


def status(data_dir: Path) -> ServicesStatus:
    """Look without changing anything. Raises: EmbeddedServicesError."""
    folder = _resolved(data_dir)
    with in_one_sentence(folder):
        _check_no_file(folder)
        return _Folder(folder, _silent).status()


def remove(data_dir: Path, *, progress: Progress = _silent) -> None:
    """Stop both and delete all their data, for good. Raises: EmbeddedServicesError."""
    if not _used(data_dir):
        return
    with _locked(data_dir) as folder:
        _Folder(folder, progress).remove()


@contextmanager
def running(data_dir: Path, *, progress: Progress = _silent) -> Iterator[Services]:
    """Services for the length of a block, stopped at its end; the data is kept."""
    services = start(data_dir, progress=progress)
    try:
        yield services
    finally:
        stop(data_dir, progress=progress)


def _resolved(data_dir: Path) -> Path:
    """One spelling for one folder: processes are recognised by it."""
    return data_dir.expanduser().resolve()


def _used(data_dir: Path) -> bool:
    """True if services were ever started here. Raises: not_permitted."""
    folder = _resolved(data_dir)
    with in_one_sentence(folder):
        _check_no_file(folder)
        return state.owner(folder) is not None


def _check_no_file(folder: Path) -> None:
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise EmbeddedServicesError(
                "not_permitted", f"{path} is a file: choose a folder with --data-dir."
            )


@contextmanager
def _locked(data_dir: Path, *, make: bool = False) -> Iterator[Path]:
    folder = _resolved(data_dir)
    with in_one_sentence(folder):
        _check_no_file(folder)
        if make:
            check_free_space(folder)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = state.owner(folder)
        if owner is not None and owner != os.geteuid():
            # Mixed owners would lock one of the two users out for ever.
            name = next((e.pw_name for e in pwd.getpwall() if e.pw_uid == owner), str(owner))
            raise EmbeddedServicesError(
                "data_dir_of_other_user",
                f"{folder} belongs to the user {name}: run the command as {name} or "
                "choose another folder with --data-dir.",
            )
        with exclusive(folder / _LOCK_FILE, wait_seconds=_LOCK_SECONDS):
            yield folder


class _Folder:
    """The work on one folder, under its lock (except `status`)."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.progress = progress
        self.state = state.read(folder)
        self.kafka = kafka_files.Layout(folder / "kafka")
        self.undo: list[Callable[[], None]] = []  # for what this start has started

    @property
    def postgres(self) -> postgres_files.Layout:
        home = self.state.postgres_home or state.POSTGRES_INSIDE
        return postgres_files.Layout(self.folder / home)  # an absolute path stays as it is

    @property
    def password_file(self) -> Path:
        return self.folder / state.PASSWORD_FILE

    def remember(self, changed: State) -> None:
        self.state = changed
        state.write(self.folder, changed)

    def start(self, postgres_port: int | None, kafka_port: int | None) -> Services:
        self.claim()
        seen = self.status()
        if self.moved_while_running(seen):
            self.progress("The folder was moved while its services ran: they are started anew.")
            self.stop()
            seen = self.status()
        _check_asked("PostgreSQL", seen.postgres, postgres_port)
        _check_asked("Kafka", seen.kafka, kafka_port)
        if seen.services is not None:
            return seen.services
        # A start that was killed may have left servers whose pids it had not yet written down.
        self.state = replace(self.state, postgres_pid=seen.postgres.pid, kafka_pid=seen.kafka.pid)
        # All that can be known before is asked before: a refusal must not have started anything.
        postgres_files.installation()
        java.find_java()
        if self.state.postgres_made and not self.postgres.data.exists():
            raise EmbeddedServicesError(
                "data_dir_damaged",
                f"The PostgreSQL data of this folder is gone from {self.postgres.data}: "
                "put it back from a backup or choose a new folder with --data-dir.",
            )
        while True:
            self.start_missing(seen, postgres_port, kafka_port)
            seen = self.status()
            if seen.services is not None:
                return seen.services
            # One that ran and died while the other started is started too, one of ours is reported.
            if (not seen.kafka.running and self.stop_kafka in self.undo) or (
                not seen.postgres.running and self.stop_postgres in self.undo
            ):
                raise EmbeddedServicesError(
                    "start_failed",
                    "A service ended right after its start: "
                    f"read {self.postgres.current_log()} and {self.kafka.log}, then start again.",
                )

    def start_missing(
        self, seen: ServicesStatus, postgres_port: int | None, kafka_port: int | None
    ) -> None:
        """Start and wait for what does not answer; what was started is stopped if that fails."""
        try:
            # Kafka first: PostgreSQL starts while the Java machine warms up.
            if not seen.kafka.running or seen.kafka.port is None:
                self.launch_kafka(kafka_port)
            if not seen.postgres.running or self.state.database_url is None:
                self.launch_postgres(postgres_port)
            if not seen.postgres.answering:
                self.wait_postgres(postgres_port)
            if not seen.kafka.answering:
                self.wait_kafka(kafka_port)
        except BaseException as error:
            if not (isinstance(error, EmbeddedServicesError) and error.code == "start_slow"):
                for undo in self.undo:
                    undo()
            raise

    def launch_kafka(self, asked: int | None) -> None:
        java_binary = java.find_java()
        class_path = jars.class_path(jars.cache_root(self.folder / "cache"), self.progress)
        self.stop_kafka()  # one whose record was lost
        port = self.choose_port("Kafka", asked, self.state.kafka_port)
        self.remember(replace(self.state, kafka_port=port))
        controller_port = self.choose_port(
            "Kafka's controller", None, self.state.kafka_controller_port
        )
        self.remember(replace(self.state, kafka_controller_port=controller_port))
        self.progress(f"Starting Apache Kafka on {ports.LOOPBACK}:{port}.")
        self.kafka.home.mkdir(mode=0o700, exist_ok=True)
        self.undo.append(self.stop_kafka)
        pid = kafka.launch(self.kafka, java_binary, class_path, port, controller_port)
        self.remember(
            replace(self.state, kafka_pid=pid, kafka_bootstrap=f"{ports.LOOPBACK}:{port}")
        )

    def wait_kafka(self, asked: int | None) -> None:
        for tries_left in reversed(range(_PORT_TRIES_MAX)):
            s = self.state
            assert s.kafka_pid
            assert s.kafka_port
            assert s.kafka_controller_port
            try:
                kafka.wait_ready(self.kafka, s.kafka_pid, s.kafka_port, s.kafka_controller_port)
                return
            except EmbeddedServicesError as error:
                # One that was found dying is started anew; one that we started is reported.
                found_dying = error.code == "start_failed" and self.stop_kafka not in self.undo
                if not found_dying and (error.code != "port_in_use" or not tries_left):
                    raise
            self.launch_kafka(asked)

    def launch_postgres(self, asked: int | None) -> None:
        install, version = postgres_files.installation()
        self.stop_postgres()
        user = service_user.choose(self.postgres.data)
        home = self.postgres_home(user)
        check_free_space(home)
        binaries = service_user.reachable_binaries(user, install, version)
        password = postgres_files.read_or_make_password(self.password_file, self.postgres)
        port = self.choose_port("PostgreSQL", asked, self.state.postgres_port)
        url = postgres.url(port, password)
        self.remember(replace(self.state, postgres_port=port, database_url=url))
        self.progress(f"Starting PostgreSQL on {ports.LOOPBACK}:{port}.")
        self.undo.append(self.stop_postgres)
        pid = postgres.launch(self.postgres, binaries, user, port, password)
        self.remember(replace(self.state, postgres_pid=pid, postgres_made=True))

    def postgres_home(self, user: service_user.ServiceUser) -> Path:
        """The remembered place of PostgreSQL's files, or a new one. Raises: data_dir_damaged."""
        if self.state.postgres_home is None:
            inside = self.postgres.data.exists()
            if self.password_file.exists() and not inside:
                raise EmbeddedServicesError(
                    "data_dir_damaged",
                    f"{self.folder / state.STATE_FILE}, which says where the PostgreSQL data is, "
                    "is gone: put it back from a backup or choose a new folder with --data-dir.",
                )
            home = service_user.choose_home(user, self.folder)
            inside = home.is_relative_to(self.folder)
            remembered = str(home.relative_to(self.folder) if inside else home)
            self.remember(replace(self.state, postgres_home=remembered))
            if not inside:
                self.progress(
                    f"PostgreSQL's files go to {home}, because the user it runs as "
                    f"cannot reach {self.folder}."
                )
        self.postgres.home.mkdir(parents=True, exist_ok=True)
        self.claim()
        if user.drop and not service_user.let_pass(user, self.folder, self.postgres.home):
            raise EmbeddedServicesError(
                "not_permitted",
                f"The user that PostgreSQL runs as cannot reach {self.postgres.home}: "
                f"let it pass through the folders above or move {self.folder} back.",
            )
        return self.postgres.home

    def claim(self) -> None:
        """Write down whose PostgreSQL's files outside are. Raises: data_dir_copied."""
        layout = self.postgres
        if not self.outside() or not layout.home.exists():
            return
        # Two copies of a folder that is gone must not both take what it left.
        with exclusive(layout.home / _LOCK_FILE, wait_seconds=_LOCK_SECONDS):
            self.check_not_copied()
            if _read_owner(layout) != self.folder:
                write_atomically(layout.owner, f"{self.folder}\n")

    def outside(self) -> bool:
        """True if PostgreSQL's files lie outside, also by a symbolic link."""
        return not self.postgres.home.resolve().is_relative_to(self.folder)

    def check_not_copied(self) -> None:
        """Refuse to touch the PostgreSQL of another data folder. Raises: data_dir_copied."""
        layout = self.postgres
        if not self.outside() or not layout.home.exists():
            return
        owner = _read_owner(layout)
        if owner is None:
            # An earlier version wrote no owner, but named the home after it.
            name = layout.home.name.partition("-")[0]
            if self.state.postgres_home == state.POSTGRES_INSIDE or (
                name == service_user.outside_name(self.folder)
            ):
                return
            raise EmbeddedServicesError(
                "data_dir_copied",
                f"The PostgreSQL data in {layout.home} was made for a folder other than "
                f"{self.folder}: use that folder or, if it was moved here, "
                f"write {self.folder} into {layout.owner}.",
            )
        if owner.resolve() != self.folder and _uses(owner, layout.home):
            raise EmbeddedServicesError(
                "data_dir_copied",
                f"{self.folder} is a copy of {owner} without its PostgreSQL data, which lies in "
                f"{layout.home} and was not copied: use {owner} or, for an empty ledger, "
                "a new folder with --data-dir.",
            )

    def moved_while_running(self, seen: ServicesStatus) -> bool:
        """True if a server works in this folder under the folder's old name."""
        running = ((seen.postgres.pid, self.postgres.data), (seen.kafka.pid, self.kafka.settings))
        return any(pid is not None and not processes.names(pid, path) for pid, path in running)

    def wait_postgres(self, asked: int | None) -> None:
        for tries_left in reversed(range(_PORT_TRIES_MAX)):
            s = self.state
            assert s.postgres_pid
            assert s.postgres_port
            assert s.database_url
            try:
                postgres.wait_ready(self.postgres, s.postgres_pid, s.postgres_port, s.database_url)
                return
            except EmbeddedServicesError as error:
                if error.code == "password_lost":
                    raise postgres_files.password_lost(self.password_file) from error
                found_dying = error.code == "start_failed" and self.stop_postgres not in self.undo
                if not found_dying and (error.code != "port_in_use" or not tries_left):
                    raise
            self.launch_postgres(asked)

    def choose_port(self, service: str, asked: int | None, remembered: int | None) -> int:
        if asked is not None:
            ports.check_explicit(asked, service)
            return asked
        # A server that was just killed may hold its port for a moment yet.
        if remembered is not None and processes.wait_until(
            lambda: ports.is_free(remembered), seconds=_PORT_SECONDS
        ):
            return remembered
        # Not one that the other service of this folder is about to take.
        s = self.state
        found = ports.find_free_ports(
            1, avoid=(s.postgres_port, s.kafka_port, s.kafka_controller_port)
        )[0]
        if remembered is not None:
            self.progress(
                f"Port {remembered} of {service} is taken by another program: "
                f"port {found} is used from now on."
            )
        return found

    def stop(self) -> None:
        self.check_not_copied()
        self.stop_kafka()
        self.stop_postgres()
        state.forget_pids(self.folder, self.state)

    def stop_kafka(self) -> None:
        kafka.stop(self.kafka, self.state.kafka_pid, self.progress)

    def stop_postgres(self) -> None:
        postgres.stop(self.postgres, self.state.postgres_pid, self.progress)

    def remove(self) -> None:
        try:
            self.stop()
        except EmbeddedServicesError as error:
            if error.code != "data_dir_copied":
                raise
            self.stop_kafka()  # all that is this folder's own
        else:
            shutil.rmtree(self.postgres.home, ignore_errors=True)
        for name in ("kafka", "cache"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (state.PASSWORD_FILE, state.STATE_FILE, _LOCK_FILE):
            (self.folder / name).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def status(self) -> ServicesStatus:
        s = self.state
        if state.owner(self.folder) is None:
            none = ServiceStatus(False, False, None, None, self.postgres.current_log())
            return ServicesStatus(self.folder, none, replace(none, log=self.kafka.log), None)
        self.check_not_copied()
        postgres_pid = processes.find(postgres.belongs(self.postgres), s.postgres_pid)
        kafka_pid = processes.find(kafka.belongs(self.kafka), s.kafka_pid)
        postgres_answers = kafka_answers = False
        if postgres_pid is not None and s.postgres_port is not None and s.database_url is not None:
            postgres_answers = postgres.answers(postgres_pid, s.postgres_port, s.database_url)
        if kafka_pid is not None and s.kafka_port is not None:
            kafka_answers = kafka.answers(kafka_pid, s.kafka_port)
        services = None
        if postgres_pid and kafka_pid and postgres_answers and kafka_answers:
            assert s.database_url is not None
            assert s.kafka_bootstrap is not None
            services = Services(
                database_url=s.database_url,
                kafka_bootstrap=s.kafka_bootstrap,
                data_dir=self.folder,
                postgres_pid=postgres_pid,
                kafka_pid=kafka_pid,
                postgres_log=self.postgres.current_log(),
                kafka_log=self.kafka.log,
            )
        return ServicesStatus(
            self.folder,
            ServiceStatus(
                postgres_pid is not None,
                postgres_answers,
                postgres_pid,
                s.postgres_port,
                self.postgres.current_log(),
            ),
            ServiceStatus(
                kafka_pid is not None, kafka_answers, kafka_pid, s.kafka_port, self.kafka.log
            ),
            services,
        )


def _read_owner(layout: postgres_files.Layout) -> Path | None:
    try:
        return Path(layout.owner.read_text(encoding="utf-8").removesuffix("\n"))
    except FileNotFoundError:
        return None


def _uses(data_dir: Path, home: Path) -> bool:
    """True if the data folder is there and PostgreSQL's `home` is or may be its own."""
    if state.owner(data_dir) is None:
        return False
    try:
        remembered = state.read(data_dir).postgres_home
    except EmbeddedServicesError:  # damaged, and all the more not to be robbed
        return True
    return remembered is None or (data_dir / remembered).resolve() == home.resolve()


def _check_asked(service: str, seen: ServiceStatus, asked: int | None) -> None:
    """An asked port must be free; a running service does not move.

    Raises: already_running, port_in_use.
    """
    if asked is None or (seen.running and asked == seen.port):
        return
    if not seen.running:
        ports.check_explicit(asked, service)
    else:
        raise EmbeddedServicesError(
            "already_running",
            f"{service} already runs on port {seen.port}: "
            f"stop it with `points down` first, or do not ask for port {asked}.",
        )
