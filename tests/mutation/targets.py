"""What is mutated, and which tests are asked.

The pure core and the append path. Only bodies of functions are mutated: constants and declarations
are read while modules are imported, before a fork could change them.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CORE = ("ledger/core",)

APPEND = (
    "ledger/accounts.py",
    "ledger/aggregate.py",
    "ledger/append.py",
    "ledger/application.py",
    "ledger/batch.py",
    "ledger/cache.py",
    "ledger/chain.py",
    "ledger/deciding.py",
    "ledger/dedupe.py",
    "ledger/lookups.py",
    "ledger/numbering.py",
    "ledger/persistence",
    "ledger/profiles.py",
    "ledger/reading.py",
    "ledger/received.py",
    "ledger/recorder.py",
    "ledger/sharding.py",
    "ledger/stream_rows.py",
    "ledger/system.py",
    "ledger/verify.py",
    "ledger/work.py",
    "streams/append.py",
    "streams/chunks.py",
    "streams/merge.py",
    "streams/offsets.py",
    "streams/partition.py",
    "streams/queues.py",
)

TESTS = ("tests/core", "tests/ledger", "tests/streams")

NOT_ASKED = ("*/test_worker*", "*/test_poison*", "*/test_crash_points*")
"""Tests of whole workers run in processes of their own, which have no mutant."""

MAX_TEST_SECONDS = 20.0
"""A test that takes longer is not asked: it would be paid for by every mutant that survives."""

MUTANT_SECONDS = 30.0
"""How much of the tests' own time one mutant gets, quickest tests first."""


def files(only: tuple[str, ...]) -> list[str]:
    """The files to mutate, as paths from the root; `only`: prefixes, none means all."""
    found: list[str] = []
    for target in (*CORE, *APPEND):
        path = ROOT / target
        inside = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found += [file.relative_to(ROOT).as_posix() for file in inside if file.exists()]
    return [file for file in found if not only or file.startswith(only)]


def part_of(file: str) -> str:
    """The part of the score to which a file belongs."""
    return "pure core" if file.startswith(CORE) else "append path"
