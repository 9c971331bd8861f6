"""Batches of promo codes over HTTP: made once under a key, told again under it for a while.

The database keeps only digests, so what tells a batch again is its file, in the folder `codes` of
the data folder, for its owner only. The file goes after a day; that the key was used stays known.
"""

import asyncio
import csv
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from api.problems import Problem
from api.reading import in_thread
from ledger.application import Ledger
from ledger.code_files import HEADER

PART = "code_batches"
"""The name among `State.parts`."""

CODES_MAX = 10_000
"""Codes of one batch: an answer of some 400 kB, made in a second. More: `points codes generate`."""

KEPT_SECONDS = 86_400
"""How long a batch can be told again: whoever lost the answer notices within a day."""


class Code(Struct, frozen=True, omit_defaults=True):
    """A promo code as people are given it. `member_id`: the only one who may use it; left out:
    everybody."""

    code: str
    member_id: str = ""


class _Known(Struct, frozen=True):
    """What a key was used for (a digest), and whether its codes were made."""

    asked: str
    made: bool


class CodeBatches:
    """The batches of one API process."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self._ledger = ledger
        self._folder = folder
        self._one = asyncio.Lock()

    async def make(
        self, key: tuple[str, str], series: str, count: int, members: Sequence[str] | None
    ) -> tuple[list[Code], bool]:
        """The codes, and whether they had been made before under this key (client, key). Raises
        Problem (409 conflict, codes_gone; 503 no_codes_here),
        LedgerError (unknown_series, fixed_code)."""
        name = sha256("\0".join(key).encode()).hexdigest()
        asked = sha256(msgspec.json.encode((series, count, members))).hexdigest()
        note, out = self._folder / f"{name}.json", self._folder / f"{name}.csv"
        async with self._one:
            await in_thread(self._tidy)
            known = await in_thread(_known, note)
            if known is not None and known.asked != asked:
                raise Problem(
                    409, "conflict", "The same Idempotency-Key came with other codes: take another."
                )
            repeated = await in_thread(out.exists)
            if not repeated:
                if known is not None and known.made:
                    raise Problem(
                        409,
                        "codes_gone",
                        "These codes were made and told more than a day ago, and are kept nowhere:"
                        " make others under another Idempotency-Key.",
                    )
                self._ledger.series(series)  # refused before anything is noted
                await in_thread(_note, note, _Known(asked, False))
                made = await self._ledger.generate_codes(series, count, out, members)
                repeated = made.recovered
            await in_thread(_note, note, _Known(asked, True))
            return await in_thread(_codes, out), repeated

    def _tidy(self) -> None:
        """Delete what was told a day ago. Raises Problem (503 no_codes_here)."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            raise Problem(
                503, "no_codes_here", "This process makes no codes: its data folder cannot be used."
            ) from None
        for path in self._folder.glob("*.csv"):
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink(missing_ok=True)


def _known(note: Path) -> _Known | None:
    try:
        return msgspec.json.decode(note.read_bytes(), type=_Known)
    except FileNotFoundError:
        return None


def _note(note: Path, known: _Known) -> None:
    beside = note.with_suffix(".new")
    beside.write_bytes(msgspec.json.encode(known))
    beside.replace(note)


def _codes(path: Path) -> list[Code]:
    with open(path, newline="", encoding="ascii") as file:
        rows = csv.reader(file)
        assert next(rows)[0] == HEADER
        return [Code(*row) for row in rows]
