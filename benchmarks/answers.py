"""How long a question about the past takes: one member's balance as of a moment, the same explained
with every rule, and all members as of a moment by what was recorded.

Asks the ledger that a demo has left, and changes nothing: `points demo --households 100 --keep`,
then `.venv/bin/python -m benchmarks.answers`. In this process, log read and decoded included, which
leaves out the second that starting a command takes.
"""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from time import perf_counter

from psycopg import Connection

from audit.as_of import as_of
from audit.as_of_all import as_of_all, programs_known
from audit.explain import explain
from audit.member_log import LedgerFacts, ledger_facts, member_log
from benchmarks.report import Figure, Result
from cli.projections import reading
from ledger.core.calendar import to_instant
from ledger.sharding import ANONYMOUS_MEMBER

REPEATS = 25
"""Of each question about one member: they take milliseconds."""

_MEMBERS = """
SELECT member_id, count(*) FROM ledger.events WHERE shard >= 0 AND member_id <> %s
GROUP BY member_id ORDER BY count(*), member_id
"""


def measure(connection: Connection) -> Result:
    """The questions, of the member with the median number of events and of the busiest one. Raises
    StartRefused (`no_ledger`)."""
    facts = ledger_facts(connection)
    members = connection.execute(_MEMBERS, [ANONYMOUS_MEMBER]).fetchall()
    middle, busiest = members[len(members) // 2], members[-1]
    figures = []
    for name, (member_id, _) in (("median member", middle), ("busiest member", busiest)):
        for told, ask in (("as of", _as_of), ("explained", _explain)):
            runs = tuple(_timed(ask, connection, facts, member_id) for _ in range(REPEATS))
            figures.append(Figure(f"{told}, {name}", "ms", runs))
    begun = perf_counter()
    now = to_instant(datetime.now(UTC))
    found = sum(1 for _ in as_of_all(connection, facts, now, now))
    figures.append(Figure("all members as of now, by recorded", "s", (perf_counter() - begun,)))
    sizes = {
        "members": found,
        "events": sum(count for _, count in members),
        "events of the median member": middle[1],
        "events of the busiest member": busiest[1],
    }
    return Result("answers", sizes, tuple(figures))


def _timed(
    ask: Callable[[Connection, LedgerFacts, str], object],
    connection: Connection,
    facts: LedgerFacts,
    member_id: str,
) -> float:
    """Milliseconds."""
    begun = perf_counter()
    assert ask(connection, facts, member_id) is not None, "the member has an account"
    return (perf_counter() - begun) * 1_000


def _as_of(connection: Connection, facts: LedgerFacts, member_id: str) -> object:
    now = to_instant(datetime.now(UTC))
    log = member_log(connection, facts, member_id, now)
    programs = programs_known(connection, now)
    return as_of(member_id, (each.event for each in log), programs, now)


def _explain(connection: Connection, facts: LedgerFacts, member_id: str) -> object:
    log = member_log(connection, facts, member_id)
    programs = programs_known(connection)
    return explain(member_id, log, programs, facts, to_instant(datetime.now(UTC)))


def main() -> None:
    """Ask, and print the medians."""
    parser = argparse.ArgumentParser(prog="benchmarks.answers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with reading() as connection:
        result = measure(connection)
    if options.json:
        print(json.dumps(result.json(), indent=2))
        return
    for name, size in result.sizes.items():
        print(f"{name:<36} {size:>12,.0f}")
    for figure in result.figures:
        print(f"{figure.name:<36} {median(figure.runs):>12,.2f} {figure.unit}")


if __name__ == "__main__":
    main()
