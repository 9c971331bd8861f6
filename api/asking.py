"""Concurrent questions to the ledger (what would this input lead to?) are read in groups.

Each answer is as of a moment after its question came: it is never older than what the caller knows.
"""

from collections.abc import Sequence
from itertools import islice

from api.groups import Groups
from ledger.application import Ledger
from ledger.errors import DatabaseUnavailable
from ledger.preview import Previewed
from ledger.received import Received

GROUP_MAX = 100
"""Questions of one group: deciding them keeps the loop for some tens of milliseconds."""

GROUPS_MAX = 1
"""Groups at once: while PostgreSQL answers one, the next gathers."""

WAITING_MAX = 1_000
"""Questions that wait: more than the requests that are answered at once."""


class Asking:
    """Asks the ledger. `preview` may be called by any number of tasks of one loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.groups: Groups[Sequence[Received], Sequence[Previewed]] = Groups(
            self._answers,
            size=GROUP_MAX,
            at_once=GROUPS_MAX,
            waiting=WAITING_MAX,
            of_all=lambda error: isinstance(error, DatabaseUnavailable),
        )

    async def preview(self, *items: Received) -> Sequence[Previewed]:
        """What each input would lead to if it alone were handled now. Raises Full,
        DatabaseUnavailable."""
        return await self.groups.add(items)

    async def close(self) -> None:
        """Let everything that was taken end."""
        await self.groups.close()

    async def _answers(self, asked: Sequence[Sequence[Received]]) -> list[Sequence[Previewed]]:
        previewed = iter(await self._ledger.preview([item for items in asked for item in items]))
        return [list(islice(previewed, len(items))) for items in asked]
