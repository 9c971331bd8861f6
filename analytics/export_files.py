"""The files of an export: whole or not there, and a manifest that says which count.

A file is written as NAME.part, synced and then named; the manifest is exchanged last, in the same
way. What a killed run left is not in the manifest, and goes when the next one begins.
"""

import os
from pathlib import Path

import msgspec
import pyarrow as arrow
import pyarrow.parquet as parquet

from analytics.errors import AnalysisRefused
from ledger.crash import crash_point

MANIFEST = "manifest.json"

FORMAT = 1
"""Of the manifest and the columns."""


class Exported(msgspec.Struct):
    """One data set. `positions` by shard; `generation` of the tables that it is of."""

    positions: dict[str, int] = {}
    generation: int = 0
    files: list[str] = []


class Manifest(msgspec.Struct):
    """What an export holds. `next`: the number of the next file."""

    ledger_id: str
    format: int = FORMAT
    next: int = 1
    sets: dict[str, Exported] = {}


class Folder:
    """An export's folder, opened by the one who writes it."""

    def __init__(self, path: Path, ledger_id: str, since_last: bool) -> None:
        """Raises AnalysisRefused (other_export), OSError."""
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        known = path / MANIFEST
        self.manifest = Manifest(ledger_id)
        if known.exists():
            try:
                self.manifest = msgspec.json.decode(known.read_bytes(), type=Manifest)
            except msgspec.MsgspecError as error:
                raise AnalysisRefused(
                    f"{known} is no manifest of an export ({error}): name another --out.",
                    "other_export",
                ) from error
            if (self.manifest.ledger_id, self.manifest.format) != (ledger_id, FORMAT):
                raise AnalysisRefused(
                    f"{path} holds the export of another ledger or version: name another --out.",
                    "other_export",
                )
        if not since_last:
            self.manifest = Manifest(ledger_id, next=self.manifest.next)
        self._sweep()

    def of(self, name: str) -> Exported:
        """What is exported of a data set."""
        return self.manifest.sets.setdefault(name, Exported())

    def new_name(self, name: str, day: str) -> str:
        """A path for a new file of a data set's day."""
        number = self.manifest.next
        self.manifest.next += 1
        return f"{name}/day={day}/part-{number:08}.parquet"

    def write(self, name: str, day: str, table: arrow.Table) -> str:
        """A whole file; its path within the folder."""
        made = self.new_name(name, day)
        with Writer(self, made, table.schema) as writer:
            writer.write(table)
        return made

    def save(self) -> None:
        """Let the manifest say what was written."""
        crash_point("export.before_manifest")
        part = self.path / f"{MANIFEST}.part"
        part.write_bytes(msgspec.json.format(msgspec.json.encode(self.manifest)))
        _sync(part)
        part.rename(self.path / MANIFEST)
        _sync(self.path)

    def remove(self, files: list[str]) -> None:
        """Files that the manifest no longer names."""
        for name in files:
            (self.path / name).unlink(missing_ok=True)

    def _sweep(self) -> None:
        named = {name for each in self.manifest.sets.values() for name in each.files}
        for file in [*self.path.glob("*/day=*/part-*"), *self.path.glob(f"{MANIFEST}.part")]:
            if str(file.relative_to(self.path)) not in named:
                file.unlink()


class Writer:
    """One file, by tables; it gets its name at the end, if nothing went wrong."""

    def __init__(self, folder: Folder, name: str, schema: arrow.Schema) -> None:
        self._target = folder.path / name
        self._part = self._target.with_name(self._target.name + ".part")
        self._schema = schema

    def __enter__(self) -> "Writer":
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._writer = parquet.ParquetWriter(self._part, self._schema, compression="zstd")
        return self

    def write(self, table: arrow.Table) -> None:
        """Add rows."""
        self._writer.write_table(table)

    def __exit__(self, kind: object, *_: object) -> None:
        self._writer.close()
        if kind is not None:
            self._part.unlink()
            return
        _sync(self._part)
        crash_point("export.after_part")
        self._part.rename(self._target)
        _sync(self._target.parent)
        crash_point("export.after_file")


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
