"""One cycle of folding: some shards, at most so many events, one transaction.

Projections of a shard that stand at the same position are folded together, so an event is decoded
and an account folded once for all of them; those behind (one being rebuilt) go first and alone
until they have caught up with the others. When a program version or RFM bounds were recorded, the
rows of every member are computed anew, page by page, before more events are folded.

Folding goes into the tables that readers read, or into those of a rebuild in another schema.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from psycopg import Connection

from projections import positions
from projections.cache import MemberCache
from projections.errors import LogDamaged
from projections.log import (
    SYSTEM_SHARD,
    Entry,
    News,
    accounts_after,
    batch,
    decode,
    decode_system,
)
from projections.member import Member
from projections.model import CountsAnonymous, ReadModel
from projections.positions import Most, Place, Taken
from projections.round_trip import RoundTrip, rolled_back, round_trip
from projections.segments import wanted_of
from projections.system import System
from projections.tables import LIVE, Writes

BATCH_EVENTS = 2_000
"""Events of one transaction: some tens of milliseconds of work, a few megabytes of rows."""

BATCH_SHARDS = 16
"""Shards of one transaction: a second runner finds the others free."""

AHEAD_SHARDS = 64
"""The same while there is little to fold in all: most of what a transaction takes then is the same
for any number of shards."""

AHEAD_EVENTS = 500
"""Events of all shards of a transaction that are read in one round trip, before any is folded."""

REFRESH_ACCOUNTS = 500
"""Accounts computed anew in one transaction after a change of program or bounds."""

Step = Callable[[str], None]
"""Is told of each step by its name; the process may end in there."""

NO_MEMBER = "~"
"""First character of accounts that are no member (anonymous purchases, the system)."""


def _of_nobody(entry: Entry) -> bool:
    return entry.member_id.startswith(NO_MEMBER)


def no_step(name: str) -> None:
    """Nobody wants to know."""


class Folder:
    """Folds the log into read models over one connection. Not for use by two threads."""

    def __init__(
        self,
        models: Sequence[ReadModel],
        cache: MemberCache | None = None,
        batch_events: int = BATCH_EVENTS,
        step: Step = no_step,
        schema: str = LIVE,
    ) -> None:
        self._step = step
        self._schema = schema
        self.models = {model.name: model for model in models}
        self._cache = cache or MemberCache()
        # Asked once: of a protocol, `isinstance` looks at every name.
        self._counting = {m.name: m for m in models if isinstance(m, CountsAnonymous)}
        self._batch_events = batch_events
        self._system = System()
        self._ahead: dict[int, list[Entry]] = {}
        self._generations: dict[str, int] = {}
        self._lock_class = _lock_class(schema, list(self.models))
        self.more = False
        """The last cycle left out shards that had grown: it had found as many as it takes."""

    def forget(self) -> None:
        """After a failed transaction: nothing in memory is known to be in the database."""
        self._cache.clear()
        self._system = System()

    def cycle(
        self,
        connection: Connection,
        only: list[int] | None = None,
        up_to: Mapping[int, int] | None = None,
    ) -> int:
        """Fold or refresh once; how many events and accounts that were, 0 when nothing was due.

        `only` restricts it to some shards, `up_to` to positions of these. Raises LogDamaged; then
        nothing was changed and the caller calls `forget`.
        """
        done = 0
        with rolled_back(connection):
            found, news = self._take(connection, only)
            if not found:
                connection.execute("COMMIT")
                return 0
            self._forget_exchanged(found)
            self._step("fold.after_lock")
            if any(self._is_newer(place) for each in found.values() for place in each):
                # Another runner has reflected a system event that came after our first look.
                self._catch_up_system(connection)
            self._read_ahead(connection, found, news)
            writes = Writes(self._schema)
            moved: list[Place] = []
            for shard in sorted(found):
                limit = self._batch_events - done
                if up_to is not None:
                    room = up_to[shard] - min(place.position for place in found[shard])
                    limit = min(limit, max(0, room))
                done += self._shard(connection, found[shard], limit, writes, moved)
                if done >= self._batch_events:
                    break
            self._store(connection, writes, moved)
        self._step("fold.after_commit")
        self._cache.trim()
        return done

    def behind(self, connection: Connection, only: list[int] | None = None) -> list[int]:
        """Some of the shards with something to fold or to refresh; empty when caught up."""
        self._catch_up_system(connection)
        found = positions.behind(
            connection, list(self.models), self._relevant(), BATCH_SHARDS, only, self._schema
        )
        return [shard for shard, _ in found]

    def _take(
        self, connection: Connection, only: list[int] | None
    ) -> tuple[dict[int, list[Place]], News]:
        """Begin the transaction, lock shards that have something to fold or to refresh and nobody
        else folds now, and ask for all that is new in them; in one round trip."""
        names, begun = list(self.models), False
        while True:
            with round_trip(connection):
                if not begun:
                    connection.execute("BEGIN")
                system = self._system.ask(connection)
                most = Most(BATCH_SHARDS, AHEAD_SHARDS, AHEAD_EVENTS)
                taken = Taken(
                    connection,
                    names,
                    self._relevant(),
                    most,
                    only,
                    self._schema,
                    self._lock_class,
                )
                news = News(connection, names, AHEAD_EVENTS, only, self._schema)
            begun = True
            if not self._system.take(system):
                break
            # It was asked for what was due by an older program: ask again.
            self._cache.keep(wanted_of(self._system))
        found, self.more = taken.read()
        return found, news

    def _relevant(self) -> list[int]:
        """Of each model, up to where in the system shard its rows must reflect that."""
        return [model.relevant(self._system) for model in self.models.values()]

    def _store(self, connection: Connection, writes: Writes, moved: Sequence[Place]) -> None:
        """Write what was folded and the positions, and commit."""
        writes.copy_many(connection)
        with round_trip(connection) as trip:
            writes.insert_few(connection)
            self._reached("fold.after_rows", trip)
            positions.store(connection, moved, self._schema)
            self._reached("fold.before_commit", trip)
            connection.execute("COMMIT")

    def _reached(self, name: str, trip: RoundTrip) -> None:
        """Whoever is to die at a step has sent the statements before it."""
        if self._step is not no_step:
            trip.send()
            self._step(name)

    def _forget_exchanged(self, found: Mapping[int, Sequence[Place]]) -> None:
        """When other tables took the place of a model's, what was written last is not there."""
        now = {place.projection: place.generation for each in found.values() for place in each}
        if any(self._generations.get(name, now[name]) != now[name] for name in now):
            self._cache.clear()
        self._generations.update(now)

    def _catch_up_system(self, connection: Connection) -> None:
        self._system.catch_up(connection)
        self._cache.keep(wanted_of(self._system))

    def _shard(
        self,
        connection: Connection,
        places: Sequence[Place],
        limit: int,
        writes: Writes,
        moved: list[Place],
    ) -> int:
        if places[0].shard == SYSTEM_SHARD:
            return self._system_events(connection, places, limit, writes, moved) if limit else 0
        stale = [place for place in places if self._is_stale(place)]
        if stale:
            return self._refresh(connection, stale, writes, moved)
        if not limit:
            return 0
        lowest = min(place.position for place in places)
        group = [place for place in places if place.position == lowest]
        # Never beyond where the others stand, so that all go on together from there.
        room = min((p.position - lowest for p in places if p.position > lowest), default=limit)
        return self._events(connection, group, min(limit, room), writes, moved)

    def _read_ahead(
        self, connection: Connection, found: Mapping[int, Sequence[Place]], news: News
    ) -> None:
        """When all that is to be folded is few, its events are here; load the histories of their
        accounts in one round trip: one for each shard was most of what a batch of a service at rest
        took."""
        after = {
            shard: min(place.position for place in places)
            for shard, places in found.items()
            if shard != SYSTEM_SHARD and not any(map(self._is_stale, places))
        }
        self._ahead = news.read(after)
        self._cache.load_ahead(
            connection,
            [
                (shard, after[shard], [e for e in entries if not _of_nobody(e)])
                for shard, entries in self._ahead.items()
            ],
        )

    def _is_newer(self, place: Place) -> bool:
        return place.system_position > self.models[place.projection].relevant(self._system)

    def _is_stale(self, place: Place) -> bool:
        target = self.models[place.projection].relevant(self._system)
        return place.position > 0 and (
            place.system_position < target or place.refresh_target is not None
        )

    def _events(
        self,
        connection: Connection,
        group: Sequence[Place],
        limit: int,
        writes: Writes,
        moved: list[Place],
    ) -> int:
        shard, after = group[0].shard, group[0].position
        entries = self._ahead.pop(shard, [])[:limit] or batch(connection, shard, after, limit)
        if not entries:
            if after == positions.head_of(connection, shard):
                return 0  # another runner was quicker
            # The head may have moved since the first look; what it tells now must be in the log.
            entries = batch(connection, shard, after, limit)
            if not entries:
                raise LogDamaged("log_gap", shard, after + 1, "this position is not in the log")
        models = [self.models[place.projection] for place in group]
        of_members = [entry for entry in entries if not _of_nobody(entry)]
        members = self._cache.prepare(connection, shard, after, of_members)
        for entry in of_members:
            member, event = members[entry.account_id], decode(entry)
            for model in models:
                model.note(entry, event, member, writes)
            member.fold(entry, event)
        if len(of_members) < len(entries):
            self._note_anonymous(models, entries, writes)
        self._show(models, members.values(), writes)
        moved.extend(
            place._replace(
                position=entries[-1].position,
                system_position=self.models[place.projection].relevant(self._system),
            )
            for place in group
        )
        return len(entries)

    def _note_anonymous(
        self, models: Iterable[ReadModel], entries: Iterable[Entry], writes: Writes
    ) -> None:
        counting = [self._counting[m.name] for m in models if m.name in self._counting]
        for entry in entries if counting else ():
            if _of_nobody(entry):
                event = decode(entry)
                for model in counting:
                    model.note_anonymous(entry, event, writes)

    def _show(self, models: Sequence[ReadModel], members: Iterable[Member], writes: Writes) -> None:
        for member in members:
            for model in models:
                model.show(member, self._system, writes)
            member.rest()

    def _refresh(
        self, connection: Connection, stale: Sequence[Place], writes: Writes, moved: list[Place]
    ) -> int:
        """One page of the accounts of one projection: those are computed anew."""
        place = stale[0]
        model = self.models[place.projection]
        target = model.relevant(self._system)
        # A system event during a refresh: begin again, the first pages are stale already.
        after = place.refresh_after if place.refresh_target == target else None
        accounts = accounts_after(connection, place.shard, after, place.position, REFRESH_ACCOUNTS)
        members = self._cache.at(connection, place.shard, accounts, place.position)
        self._show(
            [model],
            [m for m in members.values() if not m.member_id.startswith(NO_MEMBER)],
            writes,
        )
        if len(accounts) < REFRESH_ACCOUNTS:
            moved.append(
                place._replace(system_position=target, refresh_target=None, refresh_after=None)
            )
        else:
            moved.append(place._replace(refresh_target=target, refresh_after=accounts[-1]))
        return max(1, len(accounts))

    def _system_events(
        self,
        connection: Connection,
        places: Sequence[Place],
        limit: int,
        writes: Writes,
        moved: list[Place],
    ) -> int:
        done = 0
        for place in places:
            entries = batch(connection, SYSTEM_SHARD, place.position, limit)
            for entry in entries:
                self.models[place.projection].note_system(entry, decode_system(entry), writes)
            if entries:
                moved.append(place._replace(position=entries[-1].position))
            done += len(entries)
        return done


def _lock_class(schema: str, names: Sequence[str]) -> int:
    """A rebuild neither waits for who folds the tables that are read nor keeps anybody off them."""
    if schema == LIVE:
        return positions.LOCK_CLASS
    return zlib.crc32(" ".join([schema, *names]).encode()) & 0x7FFF_FFFF
