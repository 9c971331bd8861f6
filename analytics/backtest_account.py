"""One account's recorded inputs under another program, beside what the log says of it.

Both accounts live through the log in its order. The recorded one folds what is stored; of the other
each input is decided again by `ledger.core`, with the facts of its event, under a timeline of which
the other program is a part. Until they come to other events than those stored, one account is both.
Spending is applied as it happened (`backtest_spending`); what profiles said stays said. Rewards
that the account gets for others' purchases are those of the other program: they are gathered before
(`Effects`), take the place of the recorded ones, and where there was none they come at their own
moment. Pure but for the log that is read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from analytics.backtest_spending import KEPT_REFUSED, SPENDING, spend
from analytics.backtest_tally import AFTER, BEFORE, BOTH, SIDES, Member, Side, Tally
from audit.deciding_again import Ahead, next_group, released
from audit.recorded_inputs import RECOMPUTED, input_of
from ledger.batch import PAYING
from ledger.core.account import Account
from ledger.core.calendar import from_instant, local
from ledger.core.decide import decide
from ledger.core.errors import Undecidable
from ledger.core.fold import evolve
from ledger.core.kept import Kept
from ledger.core.merging import absorb
from ledger.core.program.timeline import Timeline
from ledger.core.records import WaitingReturn
from ledger.core.rules.budgets import CAP, moves_of
from ledger.core.tick import decide_tick
from ledger.core.transfers import receive
from projections.log import Entry
from schemas import inputs
from schemas.decisions import (
    AccountAbsorbed,
    AccountEvent,
    AccountMerged,
    AccountSettled,
    BudgetShare,
    Effect,
    Facts,
    InputForwarded,
    InputRefused,
    MemberProfiled,
    PointsAdjusted,
    PointsReceived,
    PointsSent,
    PurchaseReturned,
)
from schemas.fields import Instant
from schemas.inputs import InputEvent, RevokeEffectData, RewardEffectData

EFFECTS_SOURCE = "points-ledger"
"""The CloudEvents source of effects: what else rewards an account came from outside and stays."""

PLENTY = 10**15
"""What there is of a budget for an award that was not short of it: how much all members would use
is counted, and told beside the budget."""

TOGETHER_MAX = 256
"""Events that both programs came to which are kept, to fold the recorded account from where they
part: below a megabyte. After so many a copy of the account is taken in their place."""

HOURS_KNOWN_MAX = 20_000
"""Hours whose month is remembered: two years."""

HOUR_US = 3_600_000_000


class Gathered(Struct, frozen=True):
    """An effect of a decision under the other program. `id`: that of the recorded effect in whose
    place it stands, made of the position of the recorded decision."""

    id: str
    effect: Effect


class Effects(Struct):
    """All effects of the other program. `by_id`: each of them; `fresh`: by member, those that no
    recorded effect stands for, in the order of their moments."""

    by_id: dict[str, Effect] = field(default_factory=dict)
    fresh: dict[str, list[Gathered]] = field(default_factory=dict)


class Log(Protocol):
    """Where other accounts are found."""

    def entries_of(self, member_id: str) -> Iterable[Entry]:
        """All entries of the member's account, in order."""


class Setting(Struct, frozen=True):
    """What is the same for all accounts. `recorded`: the log's program versions; `other`: those
    with the new one; [`start`, `end`): whose inputs are decided under `other`, by `occurred_at`;
    `last`: up to when both are settled at the end; `scarce`: the budgets that are the same in the
    new program, whose recorded shortages hold."""

    recorded: Timeline
    other: Timeline
    start: Instant
    end: Instant | None
    last: Instant
    effects: Effects
    scarce: frozenset[str] = frozenset()
    counts_budgets: bool = False


Sink = Callable[[Gathered], None]


class Ended(Struct):
    """An account of the other program just before it was merged into another, and that event."""

    account: Account
    merged: AccountMerged


class Play:
    """One account's history under way. `recorded` and `other` are one object until an input comes
    to something else under the new program."""

    def __init__(
        self, setting: Setting, member_id: str, log: Log, tally: Tally, sink: Sink | None = None
    ) -> None:
        self.setting = setting
        self.member = Member(member_id)
        self.recorded: Account = Account.new(member_id)
        self.other: Account = self.recorded
        self.ended: Ended | None = None
        self._log = log
        self._tally = tally
        self._sink = sink
        self._begun = False
        # While begun and one object: what it was some events ago, and these.
        self._base: Account | None = None
        self._past: list[AccountEvent] = []
        self._fresh = list(setting.effects.fresh.get(member_id, ()))

    def run(self, entries: Iterable[Entry]) -> None:
        """Live through the log's entries of the account, and to the end of time. Raises whatever
        the core raises for a state that cannot be."""
        ahead = Ahead(entries)
        end = self.setting.end
        while (head := ahead.peek(0)) is not None:
            group = next_group(ahead)
            decision = group[-1]
            at = decision.occurred_at
            if end is not None and at >= end:
                break
            if not self._begun and at >= self.setting.start:
                self._begin()
            if self._base is not None and isinstance(decision, AccountAbsorbed):
                self._part()
            entry = head[0]
            position = entry.position + len(group) - 1
            after = released(self.recorded, decision)
            waiting = dict(self.recorded.waiting) if isinstance(decision, AccountAbsorbed) else {}
            stored = ahead.take(len(group))
            self._fold(stored)
            if isinstance(decision, AccountAbsorbed):
                after = _absorbed_returns(self.recorded, decision, waiting)
            rest: list[AccountEvent] = []
            while after and (following := ahead.peek(0)) is not None:
                after -= not isinstance(following[1], AccountSettled)
                rest += ahead.take(1)
            self._fold(rest)
            stored += rest
            if not self._begun:
                self._gather(stored, entry.shard, entry.position, len(stored))
                continue
            self._news(at)
            made = self._decided(decision)
            identical = made == stored
            if self._base is not None:
                self._past += stored
                if not (identical or _alike(stored, made)):
                    self._part()
                elif len(self._past) > TOGETHER_MAX:
                    self._base, self._past = self.other.fork(), []
            self._count_all(stored, made)
            if self._sink is not None:
                offset = 1 if made and isinstance(made[0], AccountSettled) else 0
                self._gather(made[offset:], entry.shard, position, 1 + len(rest))
            self._tally.inputs += 1
            self._tally.identical += identical
        self._finish()

    def _begin(self) -> None:
        self._begun = True
        if self._fresh:  # what only the other program sends
            self.other = self.recorded.fork()
        else:
            self._base = self.recorded.fork()

    def _part(self) -> None:
        """From here on the two are two."""
        assert self._base is not None, "they were one"
        self.recorded, self._base = self._base, None
        self._fold(self._past)
        self._past = []

    def _fold(self, stored: Sequence[AccountEvent]) -> None:
        """Fold into the recorded account what is stored; while it is the other too, deciding does
        that."""
        if self._base is not None:
            return
        for event in stored:
            evolve(self.recorded, event)

    def _finish(self) -> None:
        setting = self.setting
        if not self._begun:
            self._begin()
        if self._base is not None:
            self.recorded, self._base, self._past = self.other.fork(), None, []
        self._news(setting.last + 1)
        sides = (
            (BEFORE, self.recorded, setting.recorded, self.member.before),
            (AFTER, self.other, setting.other, self.member.after),
        )
        for side, account, programs, found in sides:
            if account.version:
                for event in decide_tick(account, setting.last, programs):
                    self._count(side, event)
            _outstanding(found, account, programs, setting.last)
        self.member.tier_before, self.member.tier_after = self.recorded.tier, self.other.tier

    # --- the other program

    def _decided(self, stored: AccountEvent) -> list[AccountEvent]:
        """What the input of a stored decision comes to in the other account; it is applied."""
        other, programs, at = self.other, self.setting.other, stored.occurred_at
        if isinstance(stored, AccountSettled):
            return decide_tick(other, at, programs)
        if isinstance(stored, InputForwarded):
            return self._apply([stored])
        if isinstance(stored, MemberProfiled):
            settled = [] if stored.kind == RECOMPUTED else decide_tick(other, at, programs)
            now = max(at, other.settled_to)
            late_by = 0 if stored.kind == RECOMPUTED else now - at
            program = programs.at(at).version
            return settled + self._apply([replace(stored, program=program, late_by=late_by)])
        if isinstance(stored, SPENDING) or (
            isinstance(stored, PointsAdjusted) and stored.points < 0
        ):
            return self._spent(stored)
        if isinstance(stored, InputRefused) and stored.input_type in KEPT_REFUSED:
            settled = decide_tick(other, at, programs)
            late_by = max(at, other.settled_to) - at
            program = programs.at(at).version
            return settled + self._apply([replace(stored, program=program, late_by=late_by)])
        if isinstance(stored, PointsReceived):
            sent = PointsSent(
                occurred_at=at,
                cause=stored.cause,
                to=other.member_id,
                points=stored.points,
                lots=stored.lots,
            )
            return receive(other, sent, stored.sender, programs)
        if isinstance(stored, AccountAbsorbed):
            ended = self._ended_of(stored.merged)
            if ended is None:
                return decide_tick(other, at, programs)
            return absorb(other, ended.account, ended.merged, programs)
        found = input_of(stored, other.member_id)
        assert found is not None, "every other decision has an input of its own"
        event = found.event
        if isinstance(event, inputs.RewardGranted | inputs.RewardRevoked):
            mine = self._effect(event)
            if mine is None:
                return decide_tick(other, at, programs)
            event = mine
        facts = found.facts
        if isinstance(stored, PurchaseReturned):
            # Where the order is no more in this account's state, it was there all the same.
            facts = replace(facts, order_known=True)
        elif self.setting.counts_budgets and isinstance(event, PAYING):
            facts = self._facts(stored, facts)
        return self._decide(event, found.occurred_at, facts, found.addressed)

    def _decide(
        self, event: InputEvent, at: Instant, facts: Facts, addressed: str
    ) -> list[AccountEvent]:
        other, programs = self.other, self.setting.other
        before = other.fork() if isinstance(event, inputs.AccountMerge) else None
        try:
            made = decide(other, event, at, programs, facts, addressed)
        except Undecidable as reason:
            self._tally.undecided[reason.code] += 1
            return decide_tick(other, at, programs)
        if before is not None and isinstance(made[-1], AccountMerged):
            if isinstance(made[0], AccountSettled):
                evolve(before, made[0])
            self.ended = Ended(before, made[-1])
        return made

    def _apply(self, events: list[AccountEvent]) -> list[AccountEvent]:
        for event in events:
            evolve(self.other, event)
        return events

    def _spent(self, stored: AccountEvent) -> list[AccountEvent]:
        made = decide_tick(self.other, stored.occurred_at, self.setting.other)
        event, shortfall = spend(self.other, stored, self.setting.other)
        self.member.shortfall += shortfall
        if event is None:
            return made
        evolve(self.other, event)
        return [*made, event]

    def _facts(self, stored: AccountEvent, facts: Facts) -> Facts:
        """The recorded facts, with as much of each budget as there is to be had."""
        had = {share.budget: share.amount for share in facts.budgets}
        short = {
            cap.by.removeprefix(CAP)
            for award in getattr(stored, "awards", ())
            for cap in award.capped
            if cap.by.startswith(CAP)
        } & self.setting.scarce
        program = self.setting.other.at(stored.occurred_at)
        return replace(
            facts,
            budgets=tuple(
                BudgetShare(budget, had.get(budget, 0) if budget in short else PLENTY)
                for budget in sorted(program.budgets)
            ),
        )

    # --- effects

    def _effect(self, event: inputs.RewardGranted | inputs.RewardRevoked) -> InputEvent | None:
        """What stands in the place of a recorded effect; None: nothing does. While effects are
        being gathered it is the recorded one: nothing that is sent depends on it."""
        if event.source != EFFECTS_SOURCE or self._sink is not None:
            return event
        found = self.setting.effects.by_id.get(event.id)
        return None if found is None else _input(event.id, found, event.subject)

    def _news(self, before: Instant) -> None:
        """Take what no recorded effect stands for and happened before `before`."""
        while self._fresh and self._fresh[0].effect.occurred_at < before:
            gathered = self._fresh.pop(0)
            at = gathered.effect.occurred_at
            if not self._begun or at > self.setting.last:
                continue
            event = _input(gathered.id, gathered.effect, self.other.member_id)
            for made in self._decide(event, at, Facts(), ""):
                self._count(AFTER, made)

    def _gather(
        self, events: Sequence[AccountEvent], shard: int, position: int, known: int
    ) -> None:
        """Hand on the effects of decisions, under the ids that the recorded ones had."""
        if self._sink is None:
            return
        for place, event in enumerate(events):
            # One that the log has no event for takes no other's id.
            beyond = "" if place < known else "+"
            for n, effect in enumerate(event.effects, 1):
                self._sink(Gathered(f"{shard}:{position + place}:{n}{beyond}", effect))

    def _ended_of(self, member_id: str) -> Ended | None:
        """How the account of `member_id` ended under the other program."""
        play = Play(self.setting, member_id, self._log, Tally())
        play.run(self._log.entries_of(member_id))
        return play.ended

    # --- counting

    def _count_all(self, stored: Sequence[AccountEvent], made: Sequence[AccountEvent]) -> None:
        """Count what is stored, and what was made of it. While one account is both, each event is
        looked at once, unless points are worth something else."""
        if self._base is not None:
            at = stored[-1].occurred_at
            one, two = self.setting.recorded.at(at), self.setting.other.at(at)
            if one.form.point_value == two.form.point_value and one.zone == two.zone:
                for event in stored:
                    self._count(BOTH, event)
                return
        for event in stored:
            self._count(BEFORE, event)
        for event in made:
            self._count(AFTER, event)

    def _count(self, side: int, event: AccountEvent) -> None:
        setting = self.setting
        account, programs = (
            (self.other, setting.other) if side else (self.recorded, setting.recorded)
        )
        at = event.occurred_at
        program = programs.at(at)
        tier = getattr(event, "tier", None) or account.tier
        month = _month(at // HOUR_US, program.zone)
        self._tally.count(self.member, side, event, tier, program.form.point_value, month)
        if setting.counts_budgets:
            for share in moves_of(event):
                used = self._tally.budgets.setdefault(share.budget, [0, 0])
                for each in SIDES[side]:
                    used[each] += share.amount


def _alike(stored: Sequence[AccountEvent], made: Sequence[AccountEvent]) -> bool:
    """Whether they differ in nothing but the version that decided, which no account remembers."""
    return len(stored) == len(made) and all(
        type(one) is type(two)
        and one.postings == two.postings
        and one == replace(two, program=one.program)
        for one, two in zip(stored, made, strict=True)
    )


def _absorbed_returns(
    recorded: Account,
    absorbed: AccountAbsorbed,
    waiting: Mapping[str, Sequence[WaitingReturn]],
) -> int:
    """How many returns a merge released. `waiting`: those that had waited here; `recorded` has
    folded the merge."""
    kept = msgspec.json.decode(absorbed.kept, type=Kept)
    both = [*waiting.items(), *kept.waiting.items()]
    return sum(len(returns) for order, returns in both if order not in recorded.waiting)


@lru_cache(HOURS_KNOWN_MAX)
def _month(hour: int, zone: ZoneInfo) -> str:
    """`2017-03` of an hour since 1970, in the program's zone."""
    return local(hour * HOUR_US, zone).strftime("%Y-%m")


def _outstanding(found: Side, account: Account, programs: Timeline, last: Instant) -> None:
    held = account.holdings
    found.outstanding = held.pending + held.available + held.reserved
    found.debt = held.debt
    found.liability = found.outstanding * programs.at(last).form.point_value


def _input(name: str, effect: Effect, subject: str) -> InputEvent:
    """The input that an effect is for its target."""
    head: dict[str, Any] = {
        "specversion": "1.0",
        "id": name,
        "source": EFFECTS_SOURCE,
        "time": from_instant(effect.occurred_at),
        "subject": subject,
    }
    if effect.type == "effect.reward.v1":
        reward = msgspec.json.decode(effect.data, type=RewardEffectData)
        return inputs.RewardGranted(**head, data=reward)
    revoke = msgspec.json.decode(effect.data, type=RevokeEffectData)
    return inputs.RewardRevoked(**head, data=revoke)
