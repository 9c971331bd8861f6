"""The campaign itself: round after round of records, a fault in the midst of each, then checks.

A round is over when everything sent is accounted for and folded; only then is the audit made and
the next round begun, so a finding belongs to one round. What a run sends and which faults it has is
decided by the seed; how long it goes on is decided by the clock or by a number of faults.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.embedded import EmbeddedServicesError
from ledger.errors import LedgerError
from tests.faults import ending
from tests.faults.account import Account
from tests.faults.audit import Audit, AuditFailed
from tests.faults.commands import RING, RING_POINTS
from tests.faults.compare import Disagreement, Reference
from tests.faults.generator import ROUND, Generator
from tests.faults.kinds import Faults
from tests.faults.ledger_side import Asker
from tests.faults.outcomes import Outcomes, WrongOutcome
from tests.faults.pump import Pump
from tests.faults.records import Expected
from tests.faults.report import Result, Struck, line
from tests.faults.scene import LATENESS_SECONDS, Scene
from tests.faults.schedule import Round, rounds
from tests.faults.settling import REVOKE, REWARD, NotAccounted, Settling

AHEAD_SECONDS = 60
"""How far the campaign's world begins ahead of where the scheduler stands."""

ROUNDS_MAX = 320
"""Then the campaign's world, half an hour a round, has come within minutes of the clock."""

SENT_AT_ONCE = 0.2
"""Share of a round's records that are sent right after the fault: with those sent before it they
are what the time to recover is measured by."""

TRICKLE_RECORDS = 20
TRICKLE_SECONDS = 0.5
"""The rest comes so many at a time, for some ten seconds, while the fault goes on."""

LATER = timedelta(days=2)
"""A moment at which everything granted so far has activated and expired."""

Say = Callable[[str], None]

EXPECTED_FAILURES = (
    *(NotAccounted, AuditFailed, Disagreement, WrongOutcome),
    *(LedgerError, EmbeddedServicesError),
)


async def run(
    result: Result, folder: Path, minutes: float, faults_max: int | None, say: Say
) -> None:
    """Run a campaign into `result`; what fails is written there, with the services stopped and the
    data kept."""
    scene = Scene(folder)
    journal = (folder / "sent.tsv").open("w", encoding="utf-8")
    account = Account(journal)
    try:
        campaign = _Campaign(scene, account, result, say)
        try:
            await campaign.play(minutes, faults_max)
        except EXPECTED_FAILURES as error:
            result.failure = f"{campaign.doing}: {type(error).__name__}: {error}"
        except BaseException as error:
            result.failure = f"{campaign.doing}: {error!r}"
            raise
        finally:
            await campaign.close()
            campaign.note()
    finally:
        journal.close()
        scene.close(keep=result.failure is not None or not result.rounds)


class _Campaign:
    def __init__(self, scene: Scene, account: Account, result: Result, say: Say) -> None:
        self._scene = scene
        self._account = account
        self._result = result
        self._say = say
        start = datetime.now(UTC) - timedelta(seconds=LATENESS_SECONDS - AHEAD_SECONDS)
        self._world = start
        self._generator = Generator(result.seed, start, account)
        self._reference = Reference()
        self._audit = Audit()
        self._outcomes = Outcomes()
        self._faults = Faults(scene)
        self._pump = Pump(scene.services.kafka_bootstrap)
        services = scene.services
        self._asker = Asker(lambda: services.database_url, lambda: services.kafka_bootstrap)
        self._settling = Settling(self._asker, account, self._finding)
        self._effects_duplicate = 0
        self.doing = "start"

    def _finding(self) -> str | None:
        return self._scene.findings[0] if self._scene.findings else None

    async def play(self, minutes: float, faults_max: int | None) -> None:
        """All rounds, then the checks of the end. Raises what EXPECTED_FAILURES names."""
        await self._scene.start()
        await self._pump.start()
        await self._calm()
        began = time.monotonic()
        for chosen in rounds(self._result.seed):
            enough = faults_max is not None and self._result.faults >= faults_max
            over = time.monotonic() - began >= minutes * 60
            if enough or over or len(self._result.rounds) >= ROUNDS_MAX:
                break
            self.doing = f"round {len(self._result.rounds) + 1} ({chosen.name})"
            try:
                await self._round(chosen)
            finally:
                self._result.minutes = round((time.monotonic() - began) / 60, 1)
        self.doing = "end"
        await self._end()

    async def _calm(self) -> None:
        """The first records, without a fault: the workers have joined their group."""
        records = self._generator.next()
        self._reference.told(records)
        await self._pump.send(records)
        await self._pump.acknowledged()
        await self._settling.accounted()
        await self._settling.folded()
        await self._check()

    async def _round(self, chosen: Round) -> None:
        kinds = {strike.kind for strike in chosen.strikes}
        records = self._generator.next(duplicates="duplicates" in kinds, poisoned="poison" in kinds)
        telling = asyncio.create_task(asyncio.to_thread(self._reference.told, records))
        first = round(len(records) * chosen.sent_before)
        then = first + round(len(records) * SENT_AT_ONCE)
        await self._pump.send(records[:first])
        self._scene.services_back_at = None
        struck_at = time.monotonic()
        striking = asyncio.create_task(self._faults.strike(chosen))
        recovering = asyncio.create_task(asyncio.sleep(0, (struck_at, struck_at)))
        try:
            await self._pump.send(records[first:then])
            recovering = asyncio.create_task(self._recovered())
            await self._trickle(records[then:], striking)
            await self._pump.acknowledged()
            accounted_at, folded_at = await recovering
            await asyncio.gather(striking, telling)
        finally:
            striking.cancel()
            recovering.cancel()
            await asyncio.wait({striking, recovering, telling})
        await self._settling.accounted()
        await self._settling.folded()
        await self._check()
        back_at = self._scene.services_back_at
        done = Struck(
            len(self._result.rounds) + 1,
            tuple(strike.kind for strike in chosen.strikes),
            len(records),
            0.0 if back_at is None else round(back_at - struck_at, 2),
            round(accounted_at - struck_at, 2),
            round(folded_at - struck_at, 2),
        )
        self._result.rounds.append(done)
        self._say(line(done))

    async def _recovered(self) -> tuple[float, float]:
        """When all that was sent so far had its outcome, and when the read models were there."""
        offsets = await self._pump.acknowledged()
        return await self._settling.reached(offsets), await self._settling.folded()

    async def _trickle(self, records: Sequence[Expected], striking: asyncio.Task[None]) -> None:
        """Send these a few at a time for as long as the fault goes on, so that whatever comes back
        comes back into traffic."""
        while records and not striking.done():
            await self._pump.send(records[:TRICKLE_RECORDS])
            records = records[TRICKLE_RECORDS:]
            await asyncio.wait({striking}, timeout=TRICKLE_SECONDS)
        await self._pump.send(records)

    async def _check(self) -> None:
        """Everything that can be checked while the processes run. Raises AuditFailed,
        Disagreement, NotAccounted, WrongOutcome."""
        url = self._scene.services.database_url
        await asyncio.to_thread(self._audit.read, url)
        await self._outcomes.read(self._scene.services.kafka_bootstrap, self._pump.commands)
        self._points()
        for kind, expected in self._account.applied.items():
            if len(self._audit.taken[kind]) != len(expected):
                raise AuditFailed(
                    f"{len(self._audit.taken[kind])} {kind} took effect, {len(expected)} should"
                )
        at = self._world + (self._generator.round + 1) * ROUND
        self._result.members = await asyncio.to_thread(self._reference.compare, url, at)
        finding = self._finding()
        if finding is not None:
            raise NotAccounted(finding)

    def _points(self) -> None:
        """What was given by hand is what the account says, and going round changes no total.
        Raises AuditFailed."""
        given, ring = -self._audit.totals["adjusted"], self._audit.ring
        if given != self._account.adjusted:
            raise AuditFailed(f"{given} points were given by hand, {self._account.adjusted} should")
        if ring["transferred"] or ring["available"] != RING * RING_POINTS:
            raise AuditFailed(f"the ring had {RING * RING_POINTS} points, now {dict(ring)}")

    async def _end(self) -> None:
        """Everything stops in order; then the whole of it is checked from the beginning."""
        _, said = await self._settling.accounted()
        await self._scene.stop_workers()
        await self._settling.folded()  # also what the scheduler settled to the last moment
        await self._scene.stop()
        await self._check()
        url = self._scene.services.database_url
        at = self._world + (self._generator.round + 1) * ROUND + LATER
        await asyncio.to_thread(self._reference.compare, url, at)
        self._result.events = await ending.verify_chain(self._scene.settings())
        await asyncio.to_thread(ending.whole, url, self._account, self._audit)
        await asyncio.to_thread(ending.fold_again, url)
        effects = {key: n for key, n in said.counts.items() if key[1] in (REWARD, REVOKE)}
        self._effects_duplicate = sum(n for (_, _, how), n in effects.items() if how == "duplicate")

    async def close(self) -> None:
        """Leave Kafka and PostgreSQL."""
        await self._pump.stop()
        await self._asker.close()

    def note(self) -> None:
        """Write the figures into the result."""
        result, account = self._result, self._account
        result.sent = dict(account.sent)
        result.outcomes = {key: n for key, n in account.by_outcome().items() if n}
        result.effects = account.rewards + account.revokes
        result.effects_duplicate = self._effects_duplicate
        result.commands_told = self._outcomes.told
        result.commands_told_twice = self._outcomes.twice
        result.frozen = self._faults.frozen
        result.frozen_inside_append = self._faults.inside_append
        result.gave_up = list(self._scene.gave_up)
