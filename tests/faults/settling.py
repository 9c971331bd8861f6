"""Waits until all that was sent is accounted for, and holds it against the generator's account.

Accounted for: Kafka holds exactly what was sent, every record of it (and every effect) has an
outcome, the stored offsets are Kafka's ends, no effect and no outcome of a command is left to
publish. Then each kind of record
must have ended as the generator knew before sending it.
"""

from collections.abc import Callable

from streams.topics import EFFECTS
from tests.faults.account import Account
from tests.faults.ledger_side import Asker, Said, until, without_types_of_the_dead
from tests.faults.pump import Reached
from tests.faults.records import TOPIC

RECOVER_SECONDS_MAX = 180.0
"""Longest time to recover, on a busy machine; the usual ones are in docs/reliability.md."""

REWARD = "effect.reward.v1"
REVOKE = "effect.revoke.v1"


class NotAccounted(Exception):
    """What was sent is not what was done; the text says where."""


class Settling:
    """One per campaign. `failing` tells what else has gone wrong, which ends any waiting."""

    def __init__(self, asker: Asker, account: Account, failing: Callable[[], str | None]) -> None:
        self._asker = asker
        self._account = account
        self._failing = failing
        self._said: Said | None = None
        self._ends: dict[tuple[str, int], int] = {}

    async def accounted(self) -> tuple[float, Said]:
        """Wait; when (monotonic) everything was accounted for, and what the ledger said then.
        Raises NotAccounted."""
        at = await until(self._all_handled, RECOVER_SECONDS_MAX, self._failing)
        if at is None:
            raise NotAccounted(self._failing() or f"not within {RECOVER_SECONDS_MAX} s: {self}")
        assert self._said is not None
        problems = self.differences(self._said)
        if problems:
            raise NotAccounted("; ".join(problems))
        return at, self._said

    async def reached(self, offsets: Reached) -> float:
        """Wait until everything below these offsets has its outcome; when (monotonic). Raises
        NotAccounted."""

        async def passed() -> bool:
            said = self._said = await self._asker.said()
            if said is None:
                return False
            stored = said.offsets
            return all(stored.get(place, 0) >= offset for place, offset in offsets.items())

        at = await until(passed, RECOVER_SECONDS_MAX, self._failing)
        if at is None:
            raise NotAccounted(self._failing() or f"not within {RECOVER_SECONDS_MAX} s: {self}")
        return at

    async def folded(self) -> float:
        """Wait until the read models have folded all that is in the log now; when. Raises
        NotAccounted."""
        heads: dict[int, int] | None = None

        async def passed() -> bool:
            nonlocal heads
            heads = heads or await self._asker.heads()
            folded = await self._asker.folded()
            if heads is None or folded is None:
                return False
            return all(folded.get(shard, -1) >= head for shard, head in heads.items())

        at = await until(passed, RECOVER_SECONDS_MAX, self._failing)
        if at is None:
            why = self._failing() or f"the read models are behind after {RECOVER_SECONDS_MAX} s"
            raise NotAccounted(why)
        return at

    def __str__(self) -> str:
        said = self._said
        if said is None:
            return "the ledger cannot be asked"
        return (
            f"{said.handled(effects=False)} of {self._account.total} records have an outcome,"
            f" {said.handled(effects=True)} of {self._effects()} effects,"
            f" {said.effects_pending} events have effects to publish,"
            f" {said.untold} outcomes of commands are not published"
        )

    def _effects(self) -> int:
        return sum(n for (topic, _), n in self._ends.items() if topic == EFFECTS)

    async def _all_handled(self) -> bool:
        said = await self._asker.said()
        if said is None:
            return False
        self._said = said
        if said.handled(effects=False) < self._account.total:
            return False
        if said.effects_pending or said.untold:
            return False
        ends = await self._asker.ends()
        if ends is None:
            return False
        self._ends = ends
        # Effects that came after the question to PostgreSQL are in the next one.
        return said.handled(effects=True) >= self._effects()

    def differences(self, said: Said) -> list[str]:
        """Where the ledger, Kafka and the generator's account do not agree."""
        account, found = self._account, []
        for topic in sorted(set(TOPIC.values())):
            held = sum(n for (name, _), n in self._ends.items() if name == topic)
            if held != account.sent[topic]:
                found.append(f"Kafka holds {held} records of {topic}, {account.sent[topic]} sent")
        if said.offsets != self._ends:
            found.append(f"stored offsets {said.offsets} are not Kafka's ends {self._ends}")
        ours, theirs = account.counts(), without_types_of_the_dead(said.counts)
        found += [
            f"{key}: {theirs.get(key, 0)} in the ledger, {ours.get(key, 0)} sent"
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key, 0) != theirs.get(key, 0)
        ]
        found += [
            f"dead letters {code}: {said.dead.get(code, 0)}, {account.dead[code]} sent"
            for code in sorted(account.dead.keys() | said.dead.keys())
            if account.dead[code] != said.dead.get(code, 0)
        ]
        waiting = sum(n for (_, _, outcome), n in account.ended.items() if outcome == "waiting")
        if said.waiting != waiting:
            found.append(f"{said.waiting} returns wait in the ledger, {waiting} should")
        return found + self._effect_differences(said)

    def _effect_differences(self, said: Said) -> list[str]:
        found = []
        for kind, n in ((REWARD, self._account.rewards), (REVOKE, self._account.revokes)):
            applied = said.counts.get((EFFECTS, kind, "applied"), 0)
            if applied != n:
                found.append(f"{applied} effects {kind} are applied, {n} should be")
        for (topic, kind, outcome), n in said.counts.items():
            if topic == EFFECTS and outcome not in ("applied", "duplicate"):
                found.append(f"{n} effects {kind} are {outcome}")
        if said.handled(effects=True) != self._effects():
            found.append(f"Kafka holds {self._effects()} effects: {said}")
        return found
