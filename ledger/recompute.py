"""What a new program version asks of profiles that are known already.

The outcomes go through the one door, batch by batch, each decided on the profile as it is under the
lock of its shard: beside a running worker nothing is lost or told twice. Broken off, it is finished
by publishing the same version again.
"""

from collections.abc import Awaitable, Callable, Sequence

from ledger.core.members import added_conditions
from ledger.core.program.timeline import Timeline
from ledger.crash import crash_point
from ledger.database import translated
from ledger.errors import AppendFailed
from ledger.notify import Pool
from ledger.profiles import members_fulfilling
from ledger.received import INPUTS_MAX, Outcome, Received, internal_errors, profile_task


async def append_outcomes(
    pool: Pool,
    handle: Callable[[Sequence[Received]], Awaitable[list[Outcome]]],
    programs: Timeline,
    version: str,
) -> None:
    """Append the outcomes of the conditions that the published `version` adds, for every member
    whose profile fulfils one. Raises AppendFailed and DatabaseUnavailable: publish again."""
    added = added_conditions(programs, version)
    failed, after = 0, ""
    while added:
        with translated():
            async with pool.connection() as connection:
                members = await members_fulfilling(connection, added, after, INPUTS_MAX)
        if not members:
            break
        after = members[-1]
        failed += internal_errors(await handle([profile_task(member) for member in members]))
        crash_point("publish.after_page")
    if failed:
        raise AppendFailed(
            f"The version is published, but of {failed} members it is not known whether its"
            " segments' conditions on the profile hold: see the log of this process, then publish"
            " the same file again."
        )
