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
    "ledger/budget_opening.py",
    "ledger/budgets.py",
    "ledger/cache.py",
    "ledger/calling_back.py",
    "ledger/chain.py",
    "ledger/code_files.py",
    "ledger/deciding.py",
    "ledger/dedupe.py",
    "ledger/forking.py",
    "ledger/headers.py",
    "ledger/heads.py",
    "ledger/leases.py",
    "ledger/linked.py",
    "ledger/locking.py",
    "ledger/lookups.py",
    "ledger/member_facts.py",
    "ledger/numbering.py",
    "ledger/packed_arrays.py",
    "ledger/preparing.py",
    "ledger/profiles.py",
    "ledger/promo_codes.py",
    "ledger/reading.py",
    "ledger/received.py",
    "ledger/recorder.py",
    "ledger/several.py",
    "ledger/sharding.py",
    "ledger/stream_rows.py",
    "ledger/system.py",
    "ledger/verify.py",
    "ledger/weight.py",
    "ledger/work.py",
    "streams/append.py",
    "streams/chunks.py",
    "streams/merge.py",
    "streams/offsets.py",
    "streams/partition.py",
    "streams/queues.py",
)

TESTS = ("tests/core", "tests/ledger", "tests/streams")

NOT_ASKED = (
    "*/test_worker*",
    "*/test_away*",
    "*/test_impossible*",
    "*/test_retries*",
    "*/test_cold*",
    "*/test_effects*",
    "*/test_heavy*",
    "*/test_readers*",
    "*/test_serial*",
    "*/test_zombies*",
)
"""They run most of their code in processes of their own, which have no mutant."""

MUTANT_SECONDS = 8.0
"""How much of the tests' own CPU time one mutant gets, quickest tests first. CPU time, so that a
busy machine does not change which tests are asked; traced, which doubles it."""

EXAMPLES_MAX = 20
"""Examples of a property for each mutant: `make test` draws more, and would kill more."""


PARTS = {"core": CORE, "append": APPEND}
"""Names that stand for paths in `--only`."""


def files(only: tuple[str, ...]) -> list[str]:
    """The files to mutate, as paths from the root; `only`: parts and prefixes, none means all."""
    only = tuple(prefix for each in only for prefix in PARTS.get(each, (each,)))
    found: list[str] = []
    for target in (*CORE, *APPEND):
        path = ROOT / target
        inside = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found += [file.relative_to(ROOT).as_posix() for file in inside if file.exists()]
    return [file for file in found if not only or file.startswith(only)]


def part_of(file: str) -> str:
    """The part of the score to which a file belongs."""
    return "pure core" if file.startswith(CORE) else "append path"
