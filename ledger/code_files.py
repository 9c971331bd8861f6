"""Generating promo codes in bulk: a million in some seconds, each of 64 random bits.

The codes go to a file, their digests to the database, in one transaction: the file is complete on
disk under a name of its own (FILE.part) before COMMIT, and gets its name after it. Whoever is
killed in between finds by that file, when asked for the same again, that its codes are valid; asked
for anything else, it leaves them alone.
"""

import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from struct import pack, unpack
from typing import IO, NamedTuple

from ledger.core.program.promo_codes import Series
from ledger.core.promo_codes import ALPHABET, BASE, DIGEST_BYTES, GROUPS, digest
from ledger.crash import crash_point
from ledger.errors import LedgerError
from ledger.lookups import Connection
from ledger.promo_codes import code_row
from ledger.recorder import COPY_HEADER, COPY_TRAILER

CHUNK = 50_000
"""Codes made at a time: some MB of memory, sorted by digest for the index."""

COUNT_MAX = 10_000_000
"""Codes of one call: some GB in the database, ten minutes at worst."""

HEADER, BOUND_HEADER = "code", "code,member_id"

_COPY = (
    "COPY ledger.promo_codes (code, series, member_id, uses, uses_left) FROM STDIN (FORMAT BINARY)"
)
_THREE = BASE**3
_START = pack("!hi", 5, DIGEST_BYTES)
_NULL = pack("!i", -1)


class Made(NamedTuple):
    """`recovered`: an earlier call had made them, and was killed before it could say so."""

    codes: int
    recovered: bool


@cache
def _threes(place: int) -> tuple[list[str], list[int]]:
    """Every three characters, and what they add to the weighted sum when the first of them stands
    at `place` (counted from 1)."""
    values = [(a, b, c) for a in range(BASE) for b in range(BASE) for c in range(BASE)]
    texts = [ALPHABET[a] + ALPHABET[b] + ALPHABET[c] for a, b, c in values]
    return texts, [place * a + (place + 1) * b + (place + 2) * c for a, b, c in values]


def codes_of(numbers: Sequence[int]) -> Iterator[str]:
    """The code of each number of 64 bits, in normal form."""
    (first, of_first), (second, of_second) = _threes(2), _threes(5)
    (third, of_third), (fourth, of_fourth) = _threes(8), _threes(11)
    for number in numbers:
        rest, d = divmod(number, _THREE)
        rest, c = divmod(rest, _THREE)
        rest, b = divmod(rest, _THREE)
        rest, a = divmod(rest, _THREE)
        check = (rest + of_first[a] + of_second[b] + of_third[c] + of_fourth[d]) % BASE
        yield ALPHABET[rest] + first[a] + second[b] + third[c] + fourth[d] + ALPHABET[check]


def written(code: str) -> str:
    """The code as people are given it."""
    one, two = GROUPS
    return f"{code[:one]}-{code[one:two]}-{code[two:]}"


Claim = Callable[[Connection], Awaitable[None]]
"""What is stored in the transaction of the codes, before any is made; raises to have none made."""


async def generate(
    connection: Connection,
    series: Series,
    count: int,
    out: Path,
    members: Sequence[str] | None,
    claim: Claim | None = None,
) -> Made:
    """Make `count` codes, or one for each of `members`, bound to it; `out` must not exist yet.

    Raises LedgerError: file_exists, fixed_code, other_codes; and what `claim` raises.
    """
    if series.code is not None:
        raise LedgerError(
            f"Series {series.id} has the fixed code {series.code}: nothing is generated for it.",
            "fixed_code",
        )
    part = _part_of(out)
    found = _read(part)
    row = None if found is None else await code_row(connection, found.first)
    if found is not None and row is not None:
        _check_same(found, row.series, series.id, part, count, members)
    else:
        async with connection.transaction():
            if claim is not None:
                await claim(connection)
            with _opened(part) as file:
                await _make(connection, series, count, file, members)
        crash_point("codes.after_commit")
    os.replace(part, out)
    return Made(count, row is not None)


def part_of(out: Path) -> Path:
    """The name of the file before COMMIT."""
    return out.with_name(out.name + ".part")


def _part_of(out: Path) -> Path:
    """The same. Raises LedgerError (file_exists)."""
    if out.exists():
        raise LedgerError(f"{out} exists: name another file with --out.", "file_exists")
    return part_of(out)


def _opened(part: Path) -> IO[str]:
    """The file, empty, for its owner only: whoever reads a code can use it."""
    return open(part, "w", encoding="ascii", opener=lambda p, flags: os.open(p, flags, 0o600))


class _Found(NamedTuple):
    """The file that a killed call left: its first code, how many it has, and a digest of whose they
    are (that of no members for codes that are for everyone)."""

    first: str
    codes: int
    owners: bytes


def _read(part: Path) -> _Found | None:
    """What a killed call left; None if there is no file."""
    if not part.exists():
        return None
    first, codes, owners = "", 0, blake2b()
    with open(part, encoding="ascii") as file:
        bound = file.readline().strip() == BOUND_HEADER
        for line in file:
            code, _, member = line.strip().partition(",")
            first = first or code
            codes += 1
            if bound:
                owners.update(f"{member}\n".encode())
    return _Found(first, codes, owners.digest())


def _check_same(
    found: _Found,
    of: str,
    series_id: str,
    part: Path,
    count: int,
    members: Sequence[str] | None,
) -> None:
    """Raises LedgerError (other_codes), unless the file that a killed call left, whose codes are
    good, has what is asked for now."""
    owners = blake2b()
    for member in members or ():
        owners.update(f"{member}\n".encode())
    if (of, found.codes, found.owners) != (series_id, count, owners.digest()):
        raise LedgerError(
            f"{part} has {found.codes} good codes of {of}, made by a call that was interrupted, and"
            " they are not what is asked for now: repeat that call as it was, or name another file"
            " with --out.",
            "other_codes",
        )


async def _make(
    connection: Connection,
    series: Series,
    count: int,
    file: IO[str],
    members: Sequence[str] | None,
) -> None:
    file.write(f"{HEADER if members is None else BOUND_HEADER}\n")
    async with connection.cursor().copy(_COPY) as copy:
        await copy.write(COPY_HEADER)
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            bound = None if members is None else members[start : start + size]
            lines, rows = _chunk(series, size, bound)
            file.writelines(lines)
            await copy.write(b"".join(rows))
        await copy.write(COPY_TRAILER)
    file.flush()
    os.fsync(file.fileno())
    crash_point("codes.after_copied")


def _chunk(
    series: Series, size: int, members: Sequence[str] | None
) -> tuple[list[str], list[bytes]]:
    """The lines and the rows of so many new codes, the rows by digest."""
    codes = list(codes_of(unpack(f"!{size}Q", secrets.token_bytes(8 * size))))
    uses = series.uses or 1
    of_series, after = _text(series.id), pack("!iiii", 4, uses, 4, uses)
    if members is None:
        middle = of_series + _NULL + after
        lines = [f"{written(code)}\n" for code in codes]
        rows = [_START + digest(code) + middle for code in codes]
    else:
        pairs = list(zip(codes, members, strict=True))
        lines = [f"{written(code)},{member}\n" for code, member in pairs]
        rows = [_START + digest(code) + of_series + _text(m) + after for code, m in pairs]
    rows.sort()
    return lines, rows


def _text(value: str) -> bytes:
    encoded = value.encode()
    return pack("!i", len(encoded)) + encoded
