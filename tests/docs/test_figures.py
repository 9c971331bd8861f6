"""Figures that the reference pages repeat from the code are those of the code."""

import pytest

from ledger.core.program.document import FILE_SIZE_MAX
from ledger.core.program.problems import PROBLEMS_MAX
from ledger.core.returns import WAITING_MAX
from ledger.received import INPUTS_MAX
from schemas.decode import HEADERS_BYTES_MAX, VALUE_BYTES_MAX
from schemas.fields import AMOUNT_MAX, QUANTITY_MAX
from streams import append, chunks, effects, partition, topics, watchdog
from tests.docs.pages import page

INTERNAL = (
    f"When more than {append.INTERNAL_PERCENT_MAX} % of a batch would end so"
    f" ({append.INTERNAL_PERCENT_MAX * append.INTERNAL_WINDOW_RECORDS // 100} of the latest"
    f" {append.INTERNAL_WINDOW_RECORDS} records at least), none of it is stored"
)

SAID = (
    (
        "architecture.md",
        f"at most {partition.BATCH_RECORDS_MAX} records and {partition.BATCH_BYTES_MAX >> 20} MiB.",
    ),
    (
        "architecture.md",
        f"at most {chunks.CHUNK_RECORDS_MAX} and {chunks.CHUNK_BYTES_MAX >> 20} MiB.",
    ),
    ("events.md", f"1 MiB ({VALUE_BYTES_MAX:,} bytes)"),
    ("events.md", f"headers together {HEADERS_BYTES_MAX >> 10} KiB"),
    ("events.md", f"0 to {AMOUNT_MAX}."),
    ("events.md", f"0 to {QUANTITY_MAX},"),
    ("events.md", f"{WAITING_MAX:,} returns of this member wait"),
    ("events.md", f"the order is {', '.join(topics.CONSUMED)}."),
    ("events.md", INTERNAL),
    ("metrics.md", INTERNAL),
    ("metrics.md", f"does not succeed for {append.RETRY_GIVE_UP_SECONDS:.0f} seconds"),
    ("metrics.md", f"after {effects.GIVE_UP_SECONDS:.0f} seconds without one good round"),
    ("metrics.md", f"after {watchdog.LOOP_SECONDS_MAX:.0f} seconds without a turn of its loop"),
    ("metrics.md", f"after {watchdog.REBALANCE_SECONDS_MAX:.0f} seconds without"),
    ("metrics.md", f"or {watchdog.STOP_SECONDS_MAX:.0f} seconds in a stop"),
    ("metrics.md", f"exit status {watchdog.EXIT_STUCK}"),
    ("metrics.md", f"At most {INPUTS_MAX}."),
    ("program.md", f"A file may have {FILE_SIZE_MAX >> 10} KiB."),
    ("program.md", f"up to {PROBLEMS_MAX}."),
)


@pytest.mark.parametrize(("name", "text"), SAID)
def test_a_figure(name: str, text: str) -> None:
    assert text in " ".join(page(name).split())
