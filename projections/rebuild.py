"""Fold a read model anew from the first event, with progress.

Emptying and setting back the positions is one transaction; after it the model is behind like any
other, and folding catches up, here or in a running runner. Until then its views show only what has
been folded so far.
"""

from collections.abc import Callable

from projections import positions
from projections.connection import connect
from projections.errors import ProjectionError
from projections.folding import Step, no_step
from projections.queries import standings
from projections.runner import Runner, read_models
from projections.tables import truncate

Progress = Callable[[int, int], None]


def rebuild(
    database_url: str, name: str, progress: Progress | None = None, step: Step = no_step
) -> int:
    """Empty and refold the projection `name`; the number of events folded.

    `progress(done, total)` is called after each transaction. Raises ProjectionError
    (`unknown_projection`), LogDamaged, DatabaseLost.
    """
    models = {model.name: model for model in read_models()}
    if name not in models:
        raise ProjectionError(
            "unknown_projection", f"there is no projection {name!r}; there are {', '.join(models)}"
        )
    with connect(database_url) as connection:
        positions.ensure(connection, [name])
        with connection.transaction():
            positions.lock_all(connection)
            truncate(connection, models[name].tables)
            positions.restart(connection, name)
            step("fold.before_emptied")
        step("fold.after_emptied")
        total = sum(s.behind for s in standings(connection) if s.projection == name)
    done = 0

    def count(events: int) -> None:
        nonlocal done
        done += events
        if progress is not None:
            progress(done, total)

    return Runner(database_url, [models[name]], step=step).run(until_caught_up=True, progress=count)
