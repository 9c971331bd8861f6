"""Batches of promo codes over HTTP: made once under a key, told again under it for a while.

The database keeps only digests, so what tells a batch again is its file, in the folder `codes` of
the data folder, for its owner only. The file goes after a day; that the key was used stays known,
by a row that is stored with the codes.
"""

import asyncio
import csv
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from api.problems import Problem
from api.reading import in_thread, reading
from api.state import State
from ledger.code_files import HEADER, part_of

PART = "code_batches"
"""The name among `State.parts`."""

CODES_MAX = 10_000
"""Codes of one batch: an answer of some 400 kB, made in a second. More: `points codes generate`."""

KEPT_SECONDS = 86_400
"""How long a batch can be told again: whoever lost the answer notices within a day."""


_CLAIM = "INSERT INTO api.code_batches (key, asked) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_ASKED = "SELECT asked FROM api.code_batches WHERE key = %s"


class Code(Struct, frozen=True, omit_defaults=True):
    """A promo code as people are given it. `member_id`: the only one who may use it; left out:
    everybody."""

    code: str
    member_id: str = ""


TRIES_MAX = 2
"""How often a key is looked for: codes that another process made meanwhile are found the second
time, or are not here."""


class _Noted(Struct, frozen=True):
    """What a version before this one noted of a key."""

    asked: str
    made: bool


class _MadeBefore(Exception):
    """Another process made codes under this key meanwhile."""


class CodeBatches:
    """The batches of one API process. Others may make some beside it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._folder = state.settings.data_dir / "codes"
        self._one = asyncio.Lock()

    async def make(
        self, key: tuple[str, str], series: str, count: int, members: Sequence[str] | None
    ) -> tuple[list[Code], bool]:
        """The codes, and whether they had been made before under this key (client, key). Raises
        Problem (409 conflict, codes_gone; 503 no_codes_here),
        LedgerError (unknown_series, fixed_code)."""
        name = sha256("\0".join(key).encode()).digest()
        asked = sha256(msgspec.json.encode((series, count, members))).digest()
        out = self._folder / f"{name.hex()}.csv"

        async def claim(connection: AsyncConnection[Any]) -> None:
            if not (await connection.execute(_CLAIM, (name, asked))).rowcount:
                raise _MadeBefore

        ledger = self._state.ledger
        async with self._one:
            await in_thread(self._tidy)
            for _ in range(TRIES_MAX):
                if await in_thread(self._is_made, name, asked, out):
                    return await in_thread(_codes, out), True
                try:
                    made = await ledger.generate_codes(series, count, out, members, claim)
                except _MadeBefore:
                    continue
                return await in_thread(_codes, out), made.recovered
        raise _gone()

    def _is_made(self, name: bytes, asked: bytes, out: Path) -> bool:
        """Whether the key's codes are made and told in their file. Raises Problem (409)."""
        self._take_over(name, out)
        with reading(self._state) as connection:
            row = connection.execute(_ASKED, (name,)).fetchone()
        if row is None:
            return False
        if bytes(row[0]) != asked:
            raise Problem(
                409, "conflict", "The same Idempotency-Key came with other codes: take another."
            )
        if out.exists():
            return True
        if part_of(out).exists():
            return False  # of a process that was killed before it could say so
        raise _gone()

    def _take_over(self, name: bytes, out: Path) -> None:
        """A version before this one noted the key in a file beside the codes."""
        note = out.with_suffix(".json")
        if not note.exists():
            return
        noted = msgspec.json.decode(note.read_bytes(), type=_Noted)
        if noted.made or out.exists() or part_of(out).exists():
            with reading(self._state) as connection:
                connection.execute(_CLAIM, (name, bytes.fromhex(noted.asked)))
        note.unlink()

    def _tidy(self) -> None:
        """Delete what was told a day ago. Raises Problem (503 no_codes_here)."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            raise Problem(
                503, "no_codes_here", "This process makes no codes: its data folder cannot be used."
            ) from None
        for path in self._folder.glob("*.csv*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                    path.unlink()


def _gone() -> Problem:
    return Problem(
        409,
        "codes_gone",
        "These codes were made and told before, more than a day ago or by an API with another data"
        " folder, and are not kept here: make others under another Idempotency-Key.",
    )


def _codes(path: Path) -> list[Code]:
    with open(path, newline="", encoding="ascii") as file:
        rows = csv.reader(file)
        assert next(rows)[0] == HEADER
        return [Code(*row) for row in rows]
