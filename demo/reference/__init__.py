"""An independent reference model of the points ledger, for the rule kinds of the demo's program.

It shares no code with the ledger and reads the raw data by itself, so that two pieces of work have
to agree on every member's balance. It is written to be read beside the definitions, in plain Python
with integers and fractions.
"""

import gc
from collections.abc import Callable
from datetime import datetime
from os import PathLike
from pathlib import Path

import yaml

from demo.reference import raw
from demo.reference.model import ReferenceProgram
from demo.reference.program import UnsupportedError

__all__ = ["ReferenceProgram", "UnsupportedError", "reference_balances"]

# Inputs between two calls of `progress`: about ten calls a second.
_PROGRESS_EVERY = 1_000


def reference_balances(
    program_path: str | PathLike[str],
    at: datetime,
    households: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, int | str]]:
    """Every member's balances and tier at a moment, after a year of the grocer's data.

    `households` takes only so many, those with the smallest ids; `progress` is called with inputs
    done and in all.
    """
    model = ReferenceProgram(yaml.safe_load(Path(program_path).read_text(encoding="utf-8")))
    collecting = gc.isenabled()
    gc.disable()  # everything is kept to the end: looking for garbage took a seventh of the time
    try:
        inputs = raw.inputs(households)
        for done, (_, make) in enumerate(inputs, start=1):
            model.apply(make())
            if progress is not None and (done % _PROGRESS_EVERY == 0 or done == len(inputs)):
                progress(done, len(inputs))
        return {member_id: model.state(member_id, at) for member_id in model.members}
    finally:
        if collecting:
            gc.enable()
