"""Programs of requests are read and checked one at a time, beside the loop.

The largest takes 2.7 s of a core, which every answer shares, and a console asks at each pause of
its editor. So a caller has a few under way or waiting and all callers together some more; whoever
asks for another is told to wait.
"""

import asyncio
from collections import Counter

from api.problems import Problem
from api.reading import in_thread
from api.state import State
from ledger.core.program.form import Program
from ledger.core.program.load import load_program

PART = "program_checks"
"""The name among `State.parts`."""

NAME = "program"
"""What the text is called in its problems."""

AT_ONCE = 1
"""Checks under way: tills need what is left of the interpreter."""

EACH_MAX = 3
"""Checks of one caller, under way or waiting: somebody who types on while the last is checked."""

ALL_MAX = 10
"""Checks of all callers: of the largest programs the last waits for as long as a request may."""


class ProgramChecks:
    """The checks of one API process. `load` may be called by any number of tasks of one loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._of: Counter[str] = Counter()

    async def load(self, text: str, caller: str) -> Program:
        """A program that can be used. Raises ProgramErrors, Problem (429 too_many_own_checks, 503
        too_many_checks)."""
        if self._of[caller] >= EACH_MAX:
            raise Problem(
                429,
                "too_many_own_checks",
                f"{EACH_MAX} programs of yours are being checked already: wait for their answers.",
                headers={"Retry-After": "3"},
            )
        if self._of.total() >= ALL_MAX:
            raise Problem(
                503,
                "too_many_checks",
                f"{ALL_MAX} programs are being checked already: ask again in some seconds.",
                headers={"Retry-After": "10"},
            )
        self._of[caller] += 1
        try:
            async with self._turn:
                return await in_thread(load_program, text, NAME)
        finally:
            self._of[caller] -= 1
            self._of += Counter()  # who has none is not kept


def checks_of(state: State) -> ProgramChecks:
    """Those of this process."""
    checks: ProgramChecks = state.parts.setdefault(PART, ProgramChecks())
    return checks
