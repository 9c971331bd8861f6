"""`decide`: what the pure core costs, in one process, without any I/O.

A member who buys every three days has about sixty open lots of points. Purchases of nine lines are
decided on forks of that account, each at another moment of the three days after the last, so that
lots fall due before some of them. Floor: decoding the record and encoding the decision, which a
ledger without any rules would do too.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from benchmarks.report import Figure, Result
from benchmarks.shoppers import DAY, LINES, program, record
from benchmarks.stage import Stage, collecting_as_the_worker
from ledger.aggregate import Recorded
from ledger.core.account import Account
from ledger.core.calendar import from_instant
from ledger.core.decide import decide
from ledger.core.fold import evolve
from ledger.core.program.compiled import compile_program
from ledger.core.program.timeline import Timeline
from ledger.persistence.mapper import Mapper
from ledger.persistence.transcoder import Transcoder
from schemas.decisions import AccountEvent
from schemas.decode import decode_record, instant_of
from schemas.inputs import InputEvent
from schemas.log_events import encode_event

RUNS = 5
"""Odd, so that the median is a run."""

PURCHASES = 1_000
"""Decided in a run: some tenths of a second."""

EVERY_DAYS = 3
"""Between two purchases; points live for half a year, so about sixty lots are open."""

PURCHASES_BEFORE = 80
"""Eight months of them: the first lots have expired."""

MEMBER = "m-000001"

S = TypeVar("S")
T = TypeVar("T")


def measure(stage: Stage) -> list[Result]:
    """Microseconds per purchase and per event."""
    with collecting_as_the_worker():
        return [_measure(stage.sized(PURCHASES, 10))]


def _measure(count: int) -> Result:
    compiled = compile_program(program())
    programs = Timeline([(compiled.effective_from, compiled)])
    start = compiled.effective_from
    account = Account.new(MEMBER)
    for number in range(PURCHASES_BEFORE):
        event = decode_record(record(MEMBER, number, start + number * EVERY_DAYS * DAY))
        decide(account, event, instant_of(event), programs)
    last = start + (PURCHASES_BEFORE - 1) * EVERY_DAYS * DAY
    step = EVERY_DAYS * DAY // count // 1_000_000 * 1_000_000
    values = [
        record(MEMBER, PURCHASES_BEFORE + number, last + (number + 1) * step)
        for number in range(count)
    ]
    costs: dict[str, list[float]] = {}
    decisions: list[list[AccountEvent]] = []
    for _ in range(RUNS):
        inputs = _each(values, decode_record, costs, "decode")
        forks = [account.fork() for _ in inputs]
        pairs = list(zip(forks, inputs, strict=True))

        def decided(pair: tuple[Account, InputEvent]) -> list[AccountEvent]:
            return decide(pair[0], pair[1], instant_of(pair[1]), programs)

        decisions = _each(pairs, decided, costs, "decide")
        _each(decisions, lambda events: [encode_event(event) for event in events], costs, "encode")
        _each(decisions, _enveloped, costs, "envelope")
        forks = [account.fork() for _ in inputs]

        def folded(pair: tuple[Account, list[AccountEvent]]) -> None:
            for event in pair[1]:
                evolve(pair[0], event)

        _each(list(zip(forks, decisions, strict=True)), folded, costs, "evolve")
    events = sum(map(len, decisions)) / count
    floor = tuple(d + e for d, e in zip(costs["decode"], costs["encode"], strict=True))
    return Result(
        "decide",
        {
            "purchases": count,
            "lines": LINES,
            "open lots": len(account.holdings.lots),
            "events per purchase": round(events, 2),
            "bytes per purchase": round(sum(map(len, values)) / count),
        },
        (
            Figure("decode and encode", "µs/purchase", floor),
            Figure("decide", "µs/purchase", tuple(costs["decide"]), "decode and encode"),
            Figure("encode", "µs/event", _per(costs["encode"], events)),
            Figure("encode in envelope", "µs/event", _per(costs["envelope"], events), "encode"),
            Figure("evolve", "µs/event", _per(costs["evolve"], events), "encode"),
        ),
    )


def _per(costs: Sequence[float], events: float) -> tuple[float, ...]:
    return tuple(cost / events for cost in costs)


_to_stored = Mapper(Transcoder()).to_stored_event
_ACCOUNT_ID = UUID(int=1)


def _enveloped(events: list[AccountEvent]) -> None:
    """As the append does it: into the library's envelope, and out of it as a stored event."""
    for version, event in enumerate(events, 1):
        _to_stored(
            Recorded(
                originator_id=_ACCOUNT_ID,
                originator_version=version,
                timestamp=from_instant(event.occurred_at),
                member_id=MEMBER,
                payload=event,
            )
        )


def _each(
    items: Sequence[S], work: Callable[[S], T], costs: dict[str, list[float]], name: str
) -> list[T]:
    """Do the work on each item; note the microseconds of CPU per item under `name`."""
    begun = time.process_time()  # there is no I/O, and others may have the processor meanwhile
    done = [work(item) for item in items]
    costs.setdefault(name, []).append((time.process_time() - begun) / len(items) * 1e6)
    return done
