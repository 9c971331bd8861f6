"""What the account's tests share: programs, inputs in one line, and a member to send them to."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from ledger.core.account import Account, check_invariants
from ledger.core.calendar import from_instant, parse_instant, to_instant
from ledger.core.decide import decide, outcome_of, refusal_of
from ledger.core.fold import evolve
from ledger.core.pairs import decide_pair
from ledger.core.program.compiled import compile_program
from ledger.core.program.load import load_program
from ledger.core.program.timeline import Timeline
from ledger.core.records import unpack
from ledger.core.snapshot import decode, encode
from ledger.core.tick import decide_tick
from schemas import inputs
from schemas.decisions import AccountEvent, Cause, Facts, InputRefused, PostingAccount
from schemas.fields import Instant

MINIMAL = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: immediately
expiry: {after: P12M}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
"""

ACCOUNTS = frozenset(PostingAccount)
"""Of the double entry."""

_EVENTS: msgspec.json.Decoder[AccountEvent] = msgspec.json.Decoder(AccountEvent)


def timeline(*texts: str) -> Timeline:
    """A timeline of programs in YAML, each from its `effective_from`."""
    programs = [compile_program(load_program(text, "test.yaml")) for text in texts]
    return Timeline([(program.effective_from, program) for program in programs])


def at(text: str) -> Instant:
    """`2017-01-01`, or with a time `2017-01-01T12:00:00Z`."""
    return parse_instant(text if "T" in text else f"{text}T00:00:00Z")


def moment(instant: Instant | str) -> datetime:
    """The same as a datetime."""
    return from_instant(at(instant) if isinstance(instant, str) else instant).astimezone(UTC)


class Member:
    """One account with everything that was decided on it.

    After every input the events are encoded and decoded, folded into a second account and compared,
    so that each test is also a test of folding and of the snapshot.
    """

    def __init__(self, programs: Timeline, member_id: str = "m1") -> None:
        self.programs = programs
        self.id = member_id
        self.account = Account.new(member_id)
        self.events: list[AccountEvent] = []
        self._ids = 0

    def send(self, event: inputs.InputEvent, facts: Facts | None = None) -> list[AccountEvent]:
        """Decide on an input; returns its events."""
        fork = self.account.fork()
        before = encode(self.account)
        occurred_at = _instant(event.time)
        events = decide(fork, event, occurred_at, self.programs, facts or Facts())
        assert encode(self.account) == before, "deciding on a fork changed the account"
        assert Cause(event.source, event.id) in [each.cause for each in events]
        self._keep(events, fork)
        return events

    def tick(self, until: Instant | str) -> list[AccountEvent]:
        """Let time pass."""
        fork = self.account.fork()
        events = decide_tick(fork, at(until) if isinstance(until, str) else until, self.programs)
        self._keep(events, fork)
        return events

    def _keep(self, events: list[AccountEvent], fork: Account) -> None:
        version = self.account.version
        for event in events:
            assert sum(posting.points for posting in event.postings) == 0
            assert ACCOUNTS.issuperset(posting.account for posting in event.postings)
            evolve(self.account, _EVENTS.decode(msgspec.json.encode(event)))
        assert self.account.version == version + len(events)
        check_invariants(self.account)
        for order in map(unpack, self.account.orders.values()):
            assert all(0 <= award.gone <= award.points for award in order.awards)
        assert self.account == fork, "folding the decoded events gives another account"
        assert decode(encode(fork)) == fork
        self.events += events

    def with_other(
        self, other: "Member", event: inputs.PointsTransfer | inputs.AccountMerge
    ) -> str | None:
        """Decide on an input of two accounts; the code of the refusal, if it was refused."""
        forks = self.account.fork(), other.account.fork()
        before = encode(self.account), encode(other.account)
        own, others = decide_pair(
            forks[0],
            other.account,
            lambda: forks[1],
            event,
            _instant(event.time),
            self.programs,
        )
        assert (encode(self.account), encode(other.account)) == before
        self._keep(own, forks[0])
        if other is not self:
            other._keep(list(others), forks[1])
        moved = [
            posting.points
            for each in (*own, *others)
            for posting in each.postings
            if posting.account == "transferred"
        ]
        assert sum(moved) == 0, "what one gave is what the other got"
        refusal = refusal_of(own)
        return None if refusal is None else refusal.code

    def standing(self, when: Instant | str, kind: type[Any]) -> list[AccountEvent]:
        """Freeze, unfreeze or close the account."""
        data = inputs.StandingData("anna", "as asked")
        return self.send(kind(**self.head(when), data=data))

    def forwarded(self, event: inputs.InputEvent) -> list[AccountEvent]:
        """Decide on an input that names a member whose account was merged into this one."""
        fork = self.account.fork()
        subject = event.subject or ""
        events = decide(fork, event, _instant(event.time), self.programs, Facts(), subject)
        self._keep(events, fork)
        return events

    def head(self, when: Instant | str) -> dict[str, Any]:
        self._ids += 1
        return {
            "specversion": "1.0",
            "id": str(self._ids),
            "source": "test",
            "time": moment(when),
            "subject": self.id,
        }

    def buy(
        self, when: Instant | str, order_id: str, *amounts: int, **more: Any
    ) -> list[AccountEvent]:
        """A purchase with lines 1, 2, 3 … of these amounts."""
        categories = more.pop("categories", [None] * len(amounts))
        facts = more.pop("facts", None)
        lines = tuple(
            inputs.PurchaseLine(str(n), f"sku{n}", amount, Decimal(1), category)
            for n, (amount, category) in enumerate(zip(amounts, categories, strict=True), 1)
        )
        data = inputs.PurchaseData(order_id, "s1", "store", "RUB", lines, **more)
        return self.send(inputs.PurchaseCompleted(**self.head(when), data=data), facts)

    def give_back(
        self,
        when: Instant | str,
        order_id: str,
        return_id: str,
        lines: dict[str, int] | None = None,
        facts: Facts | None = None,
    ) -> list[AccountEvent]:
        """A return of lines (line_id → amount), or of the whole order."""
        named = None
        if lines is not None:
            named = tuple(inputs.ReturnedLine(line, amount) for line, amount in lines.items())
        data = inputs.ReturnData(order_id, return_id, named)
        return self.send(inputs.PurchaseReturned(**self.head(when), data=data), facts)

    def survey(
        self, when: Instant | str, survey_id: str, facts: Facts | None = None
    ) -> list[AccountEvent]:
        """A completed survey."""
        data = inputs.SurveyData(survey_id, f"c{self._ids}")
        return self.send(inputs.SurveyCompleted(**self.head(when), data=data), facts)

    def activity(
        self,
        when: Instant | str,
        activity: str,
        reference: str = "r1",
        store: str | None = None,
        facts: Facts | None = None,
    ) -> list[AccountEvent]:
        """A completed activity."""
        data = inputs.ActivityData(activity, reference, store)
        return self.send(inputs.ActivityCompleted(**self.head(when), data=data), facts)

    def referred(
        self, when: Instant | str, referrer_id: str, facts: Facts | None = None
    ) -> list[AccountEvent]:
        """The member was brought in by `referrer_id`."""
        data = inputs.ReferralData(referrer_id, "code")
        return self.send(inputs.ReferralRegistered(**self.head(when), data=data), facts)

    def effect(self, when: Instant | str, kind: str, data: bytes) -> list[AccountEvent]:
        """An effect of another account's decision."""
        if kind == "effect.reward.v1":
            reward = msgspec.json.decode(data, type=inputs.RewardEffectData)
            return self.send(inputs.RewardGranted(**self.head(when), data=reward))
        revoke = msgspec.json.decode(data, type=inputs.RevokeEffectData)
        return self.send(inputs.RewardRevoked(**self.head(when), data=revoke))

    def reserve(
        self,
        when: Instant | str,
        name: str,
        points: int,
        ttl: int | None = None,
        basket: inputs.Basket | None = None,
    ) -> list[AccountEvent]:
        """Hold points."""
        data = inputs.ReserveData(name, points, ttl, basket)
        return self.send(inputs.PointsReserve(**self.head(when), data=data))

    def confirm(
        self, when: Instant | str, name: str, points: int | None = None, order: str | None = None
    ) -> list[AccountEvent]:
        """Spend a reservation."""
        data = inputs.ConfirmData(name, points, order)
        return self.send(inputs.ReservationConfirm(**self.head(when), data=data))

    def cancel(self, when: Instant | str, name: str) -> list[AccountEvent]:
        """Give a reservation back."""
        return self.send(inputs.ReservationCancel(**self.head(when), data=inputs.CancelData(name)))

    def redeem(
        self,
        when: Instant | str,
        name: str,
        points: int,
        order: str | None = None,
        basket: inputs.Basket | None = None,
    ) -> list[AccountEvent]:
        """Spend points at once."""
        data = inputs.RedeemData(name, points, order, basket)
        return self.send(inputs.PointsRedeem(**self.head(when), data=data))

    def adjust(
        self,
        when: Instant | str,
        points: int,
        expires_at: str | None = None,
        *,
        allow_debt: bool = False,
    ) -> list[AccountEvent]:
        """Give or take points by hand."""
        expiry = None if expires_at is None else moment(expires_at)
        data = inputs.AdjustData(points, "goodwill", "clerk-7", expiry, allow_debt)
        return self.send(inputs.PointsAdjust(**self.head(when), data=data))

    def donate(self, when: Instant | str, charity: str, points: int) -> list[AccountEvent]:
        """Give points to a charity."""
        data = inputs.DonateData(charity, points)
        return self.send(inputs.PointsDonate(**self.head(when), data=data))

    def claim(
        self, when: Instant | str, reward: str, given: int = 0, loaded: int = 0
    ) -> list[AccountEvent]:
        """Take a reward of the catalogue, of which `given` were given before."""
        facts = Facts(reward_given=given, codes_loaded=loaded)
        data = inputs.ClaimData(reward)
        return self.send(inputs.RewardClaim(**self.head(when), data=data), facts)

    def override(self, when: Instant | str, tier: str, until: Instant | str) -> list[AccountEvent]:
        """Set the tier by hand."""
        data = inputs.TierData(tier, moment(until), "agent-7", "status match")
        return self.send(inputs.TierOverride(**self.head(when), data=data))

    def erase(self, when: Instant | str) -> list[AccountEvent]:
        """Erase the member."""
        return self.send(inputs.MemberErased(**self.head(when)))

    def profile(
        self, when: Instant | str, *, enrolled: bool = False, **profile: Any
    ) -> list[AccountEvent]:
        """Enrol the member or update the profile."""
        kind = inputs.MemberEnrolled if enrolled else inputs.MemberUpdated
        data = inputs.MemberData(inputs.Profile(**profile))
        return self.send(kind(**self.head(when), data=data))

    @property
    def points(self) -> tuple[int, int, int]:
        """(available, pending, reserved)."""
        balances = self.account.balances()
        return balances.available, balances.pending, balances.reserved


def _instant(when: datetime) -> Instant:
    return to_instant(when)


def refused(events: list[AccountEvent]) -> str:
    """The code of the refusal of an input that was refused."""
    assert outcome_of(events) == "refused"
    refusal = refusal_of(events)
    assert isinstance(refusal, InputRefused)
    return refusal.code


def transfer(giver: Member, receiver: Member, when: Instant | str, points: int) -> str | None:
    """Give points; the code of the refusal, if it was refused."""
    data = inputs.TransferData(receiver.id, points)
    return giver.with_other(receiver, inputs.PointsTransfer(**giver.head(when), data=data))


def merge(ends: Member, stays: Member, when: Instant | str) -> str | None:
    """One account goes over into another; the code of the refusal, if it was refused."""
    data = inputs.MergeData(stays.id, "anna", "one person")
    return ends.with_other(stays, inputs.AccountMerge(**ends.head(when), data=data))
