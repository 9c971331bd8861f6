"""Bringing what is built to where the models that are read stand, and looking at both at once.

First in the ordinary way, while everything goes on. Then, for a moment, nobody folds: what came
meanwhile is folded, both stand at the same position in every shard, and a snapshot of the database
is taken. Runners go on at once; the comparison sees the snapshot however long it takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection

from projections import builds, positions
from projections.builds import Build
from projections.cache import MemberCache
from projections.errors import ProjectionError
from projections.folding import Folder
from projections.log import SYSTEM_SHARD
from projections.positions import Place

MEMBERS_MAX = 2_000
"""Members in memory while catching up, per model: 90 MB when each has a year of weekly baskets. Of
a bounded number of events (projections.pages), so it need not hold all."""

ROUNDS_MAX = 5
"""Looks at whether both stand equal, while nobody else folds. What can make one more necessary is a
program version that is published at that moment."""

NEAR_EVENTS = 2_000
"""Left over when the ordinary catching up is near enough: folded in a tenth of a second or two."""

NEAR_ROUNDS_MAX = 20
"""Rounds of ordinary catching up. Each takes a fraction of the time of the one before, unless the
log grows as fast as it can be folded: then what is left is folded while nobody else folds."""


class Following:
    """Brings the models of a build after those that are read (or after the log's heads)."""

    def __init__(self, connection: Connection, build: Build) -> None:
        self._connection = connection
        self._build = build
        self._folders = {
            model.name: Folder([model], MemberCache(MEMBERS_MAX), schema=build.schema)
            for model in build.read_models()
        }
        self._live: dict[str, Folder] = {}

    def catch_up(self) -> int:
        """Fold until little is left; how many events it is."""
        left = self._left()
        for _ in range(NEAR_ROUNDS_MAX):
            for name, shards in self._goals().items():
                for shard, position in shards.items():
                    self._fold(self._folders[name], shard, position)
            left = self._left()
            if left <= NEAR_EVENTS:
                break
        return left

    def behind(self) -> int:
        """By how many events the models that are read are behind what is built, in all."""
        total = 0
        for name in self._build.models:
            live = builds.live_places(self._connection, name)
            built = builds.places(self._connection, self._build, name)
            total += sum(max(0, built[shard].position - live[shard].position) for shard in built)
        return total

    def meet(self, *, folding_live: bool) -> bool:
        """While nobody else folds: fold what is left. Whether both then stand equal everywhere.

        `folding_live`: also fold the models that are read, as any runner would, where they are
        behind. Raises LogDamaged, psycopg.Error (the models that are read cannot be folded).
        """
        for _ in range(ROUNDS_MAX):
            self.follow(folding_live=folding_live)
            if self._equal():
                return True
        return False

    def follow(self, *, folding_live: bool = False) -> None:
        """Fold what is left, once."""
        for name in self._build.models:
            live = builds.live_places(self._connection, name)
            built = builds.places(self._connection, self._build, name)
            for shard, place in built.items():
                if _same(place, live[shard]):
                    continue  # most are: asking each would hold up the others for seconds
                position = max(place.position, live[shard].position)
                self._fold(self._folders[name], shard, position)
                if folding_live:
                    self._fold(self._live_folder(name), shard, position)

    def _goals(self) -> dict[str, dict[int, int]]:
        if not self._build.follows:
            goal = builds.targets(self._connection, self._build)
            return dict.fromkeys(self._build.models, goal)
        return {
            name: {
                shard: place.position
                for shard, place in builds.live_places(self._connection, name).items()
            }
            for name in self._build.models
        }

    def _left(self) -> int:
        left = 0
        for name, shards in self._goals().items():
            built = builds.places(self._connection, self._build, name)
            left += sum(max(0, goal - built[shard].position) for shard, goal in shards.items())
        return left

    def _live_folder(self, name: str) -> Folder:
        if name not in self._live:
            (model,) = builds.models_of([name])
            self._live[name] = Folder([model], MemberCache(MEMBERS_MAX))
        return self._live[name]

    def _fold(self, folder: Folder, shard: int, position: int) -> None:
        while folder.cycle(self._connection, [shard], {shard: position}):
            pass

    def _equal(self) -> bool:
        for name in self._build.models:
            live = builds.live_places(self._connection, name)
            built = builds.places(self._connection, self._build, name)
            if not all(_same(place, live[shard]) for shard, place in built.items()):
                return False
        return True


def _same(built: Place, live: Place) -> bool:
    """Whether both have folded the same events, and show the members by the same system events."""
    if built.position != live.position:
        return False
    if built.refresh_target is not None or live.refresh_target is not None:
        return False
    shown = built.shard != SYSTEM_SHARD and built.position > 0
    return not shown or built.system_position == live.system_position


@contextmanager
def snapshot(connection: Connection, following: Following, *, folding_live: bool) -> Iterator[str]:
    """A transaction whose snapshot has both at equal positions; its name, for other sessions.

    Raises ProjectionError (`not_caught_up`), LogDamaged, psycopg.Error.
    """
    with positions.standing_still(connection):
        if not following.meet(folding_live=folding_live):
            raise ProjectionError(
                "not_caught_up",
                "the read model that is read is not where it could be compared: run"
                " `points projections run --until-caught-up`, then this again",
            )
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
    try:
        assert row is not None, "a snapshot has a name"
        yield row[0]
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")
