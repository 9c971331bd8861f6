"""A log that goes on growing, and is folded, while something else is at work."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from projections.runner import Runner
from tests.projections.conftest import Shop
from tests.projections.history import write_history

INPUTS = 5
PAUSE_SECONDS = 0.1
"""So many inputs, then a pause."""

END_SECONDS = 300.0
"""Until both have ended: as long as the step under way takes."""


@contextmanager
def growing(shop: Shop, first: int) -> Iterator[None]:
    """Somebody appends from input `first` on, and a runner folds, for the length of a block."""
    stop = threading.Event()

    def append() -> None:
        number = first
        while not stop.is_set():
            write_history(shop.log, number, inputs=INPUTS, first=number)
            number += INPUTS
            time.sleep(PAUSE_SECONDS)

    folding = Runner(shop.url)
    threads = [threading.Thread(target=append), threading.Thread(target=folding.run)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        threads[0].join(END_SECONDS)
        folding.stop()
        threads[1].join(END_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
