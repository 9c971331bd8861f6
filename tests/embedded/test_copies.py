"""A copied or moved data folder, with PostgreSQL's files in it or (under root) outside of it.

Whatever is done to one folder, the PostgreSQL of another is neither used nor stopped.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy import embedded
from deploy.embedded import EmbeddedServicesError, Services, state


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder for data folders that any user can reach, so that PostgreSQL's files go inside."""
    folder = Path(tempfile.mkdtemp()).resolve()
    folder.chmod(0o755)
    yield folder
    for data_dir in folder.iterdir():
        embedded.remove(data_dir)
    shutil.rmtree(folder)


@pytest.fixture
def closed(base: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root puts PostgreSQL's files outside")
    base.chmod(0o700)
    return base


def add_row(services: Services, value: int) -> list[int]:
    with psycopg.connect(services.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", (value,))
        return [row[0] for row in connection.execute("SELECT value FROM kept ORDER BY value")]


def has_ended(pid: int) -> bool:
    """True also for a process that only waits for init to notice its end."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def copy(source: Path, target: Path) -> None:
    """As `cp -r` does: under root, all of it becomes root's."""
    shutil.copytree(source, target)


def test_a_copy_with_its_data_is_on_its_own(base: Path) -> None:
    first = embedded.start(base / "B")
    add_row(first, 1)
    embedded.stop(base / "B")
    assert state.read(base / "B").postgres_home == "postgres"
    copy(base / "B", base / "copy")
    first = embedded.start(base / "B")
    assert add_row(first, 2) == [1, 2]
    assert not embedded.status(base / "copy").postgres.running

    told: list[str] = []
    second = embedded.start(base / "copy", progress=told.append)
    assert any("taken" in line for line in told)
    assert second.postgres_pid != first.postgres_pid
    assert second.postgres_log.is_relative_to(base / "copy")
    assert add_row(second, 3) == [1, 3]
    embedded.stop(base / "copy")
    embedded.remove(base / "copy")
    assert embedded.status(base / "B").services == first
    assert add_row(first, 4) == [1, 2, 4]


@pytest.mark.long
def test_a_moved_folder_has_its_data(base: Path) -> None:
    """In `make test` the next one, which moves it while it runs."""
    add_row(embedded.start(base / "M1"), 1)
    embedded.stop(base / "M1")
    (base / "M1").rename(base / "M2")
    assert add_row(embedded.start(base / "M2"), 2) == [1, 2]


def test_a_folder_moved_while_it_runs(base: Path) -> None:
    first = embedded.start(base / "M1")
    add_row(first, 1)
    (base / "M1").rename(base / "M2")
    # A new folder at the old place must not be taken for the one that runs.
    (base / "M1").mkdir()
    shutil.copy(base / "M2" / "services.json", base / "M1")
    assert not embedded.status(base / "M1").postgres.running
    embedded.stop(base / "M1")
    assert not has_ended(first.postgres_pid)

    second = embedded.start(base / "M2")
    assert has_ended(first.postgres_pid)
    assert second.postgres_pid != first.postgres_pid
    assert add_row(second, 2) == [1, 2]


def test_an_absolute_place_inside_as_earlier_versions_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text('{"postgres_home": "/elsewhere/B/postgres"}')
    assert state.read(tmp_path).postgres_home == "postgres"


def test_a_copy_without_its_data_is_refused(closed: Path) -> None:
    first = embedded.start(closed / "B")
    add_row(first, 1)
    home = state.read(closed / "B").postgres_home
    assert home is not None
    assert Path(home).is_absolute()
    copy(closed / "B", closed / "copy")
    for call in (embedded.start, embedded.status, embedded.stop):
        with pytest.raises(EmbeddedServicesError) as caught:
            call(closed / "copy")
        assert caught.value.code == "data_dir_copied"
        assert f"{closed / 'copy'} is a copy of {closed / 'B'} " in caught.value.message
    embedded.remove(closed / "copy")
    assert not (closed / "copy").exists()
    assert embedded.status(closed / "B").services == first
    assert add_row(first, 2) == [1, 2]


def test_a_moved_folder_takes_its_data_outside_along(closed: Path) -> None:
    add_row(embedded.start(closed / "M1"), 1)
    embedded.stop(closed / "M1")
    (closed / "M1").rename(closed / "M2")
    assert add_row(embedded.start(closed / "M2"), 2) == [1, 2]
    # The old place is free for another folder, and a late copy of the old one is refused.
    copy(closed / "M2", closed / "M1")
    with pytest.raises(EmbeddedServicesError, match="is a copy of"):
        embedded.start(closed / "M1")
