"""A state machine over whole programs and histories, against the reference model.

Each example is a program of its own and a history of a few dozen inputs: purchases, returns (also
before their purchase), surveys, referrals, spending, erasures, late ones, duplicates, conflicts,
and time that passes. After every step all invariants are recounted, three schedulers compared, and
every balance and tier held against the model (see `world`).

A failure prints the steps that led to it, ready to be run, and the seed of the run: the same seed
(`MACHINE_SEED`, or pytest's `--hypothesis-seed`) gives the same histories.
"""

import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger.core.calendar import format_instant
from tests.machine import programs
from tests.machine.world import GENERATED, HOUR_US, MEMBERS, World

HISTORIES = 200
"""In every run of the tests."""

HISTORIES_LONG = 5_000
"""In `make test-long`."""

STEPS_MAX = 40
"""Long enough to earn, spend, return, expire and lose a tier; short enough to try thousands."""

SEED = 1
"""Of the short test: a change is judged by the histories that the one before it was. The long test
draws another seed each time."""

SEED_MAX = 2**32

OFFICE = {"actor": "office", "reason": "asked for"}

REVIEWS = ("review", "nap")
"""Activities; nobody rewards naps."""

who = st.sampled_from(MEMBERS + MEMBERS[:1] * 3)
anybody = st.sampled_from((*MEMBERS, *MEMBERS, None))
waits = st.one_of(st.integers(0, 20), st.integers(0, 20), st.integers(0, 400))
lates = st.sampled_from([0, 0, 0, 0, 0, 2, 10, 30, 60])
keeping = st.sampled_from([0, 1, 5, 30, 60, 90, 200])
"""Hours until something comes back or is confirmed."""

soon = st.sampled_from([0, 0, 0, 1, 5, 80])
parts = st.sampled_from([1, 10, 50, 100, 100, 120])
"""Percent of what is available, a little more than all of it."""

codes = st.one_of(
    st.sampled_from((*programs.CODES, "go-now", "Go now", "Go now")),
    st.sampled_from([code for code, *_ in GENERATED]),
    st.sampled_from([GENERATED[0][0].lower(), "22222-AAAAA-2222"]),
)
line = st.fixed_dictionaries(
    {
        "sku": st.sampled_from(["x1", "x2", "x3"]),
        "quantity": st.sampled_from([1, 2, "0.482"]),
        "amount": st.one_of(st.integers(300, 2_500), st.integers(0, 500), st.just(0)),
    },
    optional={
        "category": st.sampled_from([c for c in programs.CATEGORIES if c]),
        "brand": st.just("Own"),
    },
)
baskets = st.fixed_dictionaries(
    {
        "store_id": st.sampled_from(programs.STORES),
        "channel": st.sampled_from(programs.CHANNELS),
        "lines": st.lists(line, min_size=1, max_size=3),
    },
    optional={
        "region": st.sampled_from([r for r in programs.REGIONS if r]),
        "partner_id": st.sampled_from([p for p in programs.PARTNERS if p]),
        "payment_type": st.just("card"),
        "promo_codes": st.lists(codes, max_size=3, unique=True),
    },
)


basket_lines = st.lists(
    st.fixed_dictionaries(
        {"amount": st.integers(0, 3_000)}, optional={"category": st.sampled_from(["MEAT", "FISH"])}
    ),
    min_size=1,
    max_size=2,
)
named_baskets = st.one_of(st.none(), basket_lines, basket_lines)

profiles = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.sampled_from([[], ["vip"], ["staff", "vip"], None]),
        "birthday": st.sampled_from(["1990-01-10", "1992-02-29", "1980-12-30", None]),
    },
)


class Histories(RuleBasedStateMachine):
    """What may happen."""

    world: World
    lateness = False

    @initialize(
        choice=st.booleans().flatmap(
            lambda late: programs.whole_programs(late=late).flatmap(
                lambda first: st.tuples(
                    st.just(late),
                    st.just(first),
                    st.one_of(st.none(), st.none(), programs.next_version(first, late=late)),
                )
            )
        ),
        referred=st.lists(
            st.tuples(st.sampled_from(MEMBERS), st.sampled_from(MEMBERS)), max_size=3
        ),
        opening=st.lists(st.tuples(who, baskets, st.integers(0, 30)), min_size=3, max_size=12),
    )
    def open(
        self,
        choice: tuple[bool, dict[str, Any], dict[str, Any] | None],
        referred: list[tuple[str, str]],
        opening: list[tuple[str, dict[str, Any], int]],
    ) -> None:
        """A ledger of some program.

        The model works out the tiers of the past again from all that it ever saw; the account keeps
        what it held. So where inputs are late no rule asks for a tier.
        """
        self.lateness, *documents = choice
        self.world = World(*[document for document in documents if document is not None])
        for member, referrer in referred:
            self._refer(member, referrer, 0)
        for member, basket, wait in opening:  # so that there is something to spend and to return
            self.world.wait(wait)
            self.world.buy(member, basket, 0)
            self.world.audit()

    def _rich(self, n: int) -> str:
        """One of those who have points to spend."""
        return self.world.rich[n % len(self.world.rich)]

    def _hours(self, wait: int, late: int) -> int:
        self.world.wait(wait)
        return late if self.lateness else 0

    @rule(hours=st.one_of(waits, st.integers(0, 24 * 60)), member=who, behind=st.integers(0, 500))
    def time_passes(self, hours: int, member: str, behind: int) -> None:
        """And a scheduler that is late looks after somebody, as of so many hours ago."""
        self.world.wait(hours)
        self.world.late_tick(member, behind)

    @rule(member=anybody, basket=baskets, wait=waits, late=lates)
    def buy(self, member: str | None, basket: dict[str, Any], wait: int, late: int) -> None:
        self.world.buy(member, basket, self._hours(wait, late))

    @rule(member=who, basket=baskets, wait=soon, late=lates)
    def buy_soon(self, member: str, basket: dict[str, Any], wait: int, late: int) -> None:
        self.world.buy(member, basket, self._hours(wait, late))

    @precondition(lambda self: self.world.orders)
    @rule(
        back=st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5]),
        whole=st.booleans(),
        amounts=st.data(),
        wait=soon,
        late=lates,
    )
    def give_back(
        self, back: int, whole: bool, amounts: st.DataObject, wait: int, late: int
    ) -> None:
        world = self.world
        member, order_id, bought = world.orders[-1 - back % len(world.orders)]
        named = None
        if not whole:
            lines = amounts.draw(st.lists(st.sampled_from([*bought, "9"]), min_size=1, unique=True))
            named = {name: amounts.draw(_part_of(bought.get(name, 0))) for name in lines}
        world.give_back(member, order_id, named, self._hours(wait, late))

    @precondition(lambda self: self.world.document["returns"]["policy"] != "only_pending")
    @rule(member=who, ahead=st.integers(0, 3), wait=waits)
    def give_back_before(self, member: str, ahead: int, wait: int) -> None:
        """Its purchase follows, if at all. (Under `only_pending` the model decides such a return
        before what is due at once has activated.)"""
        self._hours(wait, 0)
        order_id = f"o{self.world.bought + 1 + ahead}"
        if all(order_id != known for _, known, _ in self.world.orders):
            self.world.give_back(member, order_id, None, 0)

    @rule(member=who, name=st.sampled_from(["s", "t", "u", *REVIEWS]), wait=waits, late=lates)
    def take_part(self, member: str, name: str, wait: int, late: int) -> None:
        """A survey, or an activity."""
        late = self._hours(wait, late)
        if name in REVIEWS:
            data = {"activity": name, "reference": self.world.number(), "store_id": "s1"}
            self.world.send("activity.completed.v1", member, data, late)
        else:
            data = {"survey_id": name, "completion_id": f"c{self.world.number()}"}
            self.world.send("survey.completed.v1", member, data, late)

    @rule(member=who, profile=profiles, enrolled=st.booleans())
    def tell_profile(self, member: str, profile: dict[str, Any], enrolled: bool) -> None:
        """What the CRM knows of a member."""
        kind = "member.enrolled.v1" if enrolled else "member.updated.v1"
        self.world.send(kind, member, {"profile": profile})

    @rule(member=who, referrer=who, wait=waits, late=lates)
    def refer(self, member: str, referrer: str, wait: int, late: int) -> None:
        self._refer(member, referrer, self._hours(wait, late))

    def _refer(self, member: str, referrer: str, late: int) -> None:
        data = {"referrer_id": referrer, "code": self.world.number()}
        self.world.send("referral.registered.v1", member, data, late)

    @precondition(lambda self: self.world.rich)
    @rule(
        n=st.integers(0, 3),
        percent=parts,
        ttl=st.sampled_from([None, None, 60]),
        basket=named_baskets,
        wait=soon,
    )
    def reserve(
        self, n: int, percent: int, ttl: int | None, basket: list[dict[str, Any]] | None, wait: int
    ) -> None:
        member = self._rich(n)
        self._hours(wait, 0)
        self.world.reserve(member, self.world.part_of(member, percent), ttl, basket)

    @precondition(lambda self: self.world.held)
    @rule(
        back=st.integers(0, 3),
        kind=st.sampled_from(["confirm", "cancel"]),
        part=st.one_of(st.none(), st.integers(1, 30)),
        wait=keeping,
        late=lates,
    )
    def finish(self, back: int, kind: str, part: int | None, wait: int, late: int) -> None:
        late = self._hours(wait, late)
        member, name = self.world.held[-1 - back % len(self.world.held)]
        self.world.finish(kind, member, name, part if kind == "confirm" else None, late)

    @precondition(lambda self: self.world.rich)
    @rule(
        n=st.integers(0, 3),
        percent=parts,
        basket=baskets,
        how=st.sampled_from(["reserve", "at once", "for the order", "for the order, twice"]),
        kept=keeping,
        back=st.sampled_from([None, "whole", "line"]),
    )
    def pay(
        self, n: int, percent: int, basket: dict[str, Any], how: str, kept: int, back: str | None
    ) -> None:
        """All that a till does with points and a basket; what they paid for may come back, also
        after they would have expired."""
        member, world = self._rich(n), self.world
        points = world.part_of(member, percent)
        keys = ("amount", "category")
        named = [{key: x[key] for key in keys if key in x} for x in basket["lines"]]
        if how == "reserve":
            name = world.reserve(member, points, None, named)
            world.finish("confirm", member, name, None, 0)
        else:
            name = f"h{world.number()}"
            order = {} if how == "at once" else {"order_id": f"o{world.bought + 1}"}
            if how.endswith("twice"):
                more = {
                    "redemption_id": f"h{world.number()}",
                    "points": 1,
                    "basket": named,
                    **order,
                }
                world.send("command.redeem.v1", member, more)
            data = {"redemption_id": name, "points": points, "basket": named, **order}
            world.send("command.redeem.v1", member, data)
        world.buy(member, {**basket, "redemption_id": name}, 0)
        if back is not None:
            world.wait(kept)
            _, order_id, bought = world.orders[-1]
            world.give_back(member, order_id, None if back == "whole" else {"1": bought["1"]}, 0)

    @precondition(lambda self: self.world.rich)
    @rule(
        n=st.integers(0, 3),
        percent=parts,
        to=st.one_of(who, st.sampled_from(["charity c", "charity d", "charity e"])),
        wait=soon,
        late=lates,
    )
    def give(self, n: int, percent: int, to: str, wait: int, late: int) -> None:
        """Points for another member, or for a charity."""
        member, late = self._rich(n), self._hours(wait, late)
        amount = self.world.part_of(member, percent)
        if to.startswith("charity"):
            data = {"charity_id": to[-1], "points": amount}
            self.world.send("command.donate.v1", member, data, late)
        else:
            self.world.send("command.transfer.v1", member, {"to": to, "points": amount}, late)

    @rule(
        member=who,
        amount=st.integers(-40, 40).filter(bool),
        debt=st.booleans(),
        until=st.sampled_from([None, None, None, "2017-01-02T00:00:00Z", "2017-03-01T00:00:00Z"]),
        late=lates,
    )
    def adjust(self, member: str, amount: int, debt: bool, until: str | None, late: int) -> None:
        """Points by hand."""
        data: dict[str, Any] = {"points": amount, **OFFICE}
        if amount < 0:
            data["allow_debt"] = debt
        elif until is not None:
            data["expires_at"] = until
        self.world.send("command.adjust.v1", member, data, self._hours(0, late))

    @rule(
        member=who, n=st.integers(0, 3), name=st.sampled_from([*programs.REWARDS, "x"]), late=lates
    )
    def claim(self, member: str, n: int, name: str, late: int) -> None:
        """Something of the catalogue; mostly by who has points."""
        if self.world.rich:
            member = self._rich(n)
        data = {"reward_id": name}
        self.world.send("command.claim.v1", member, data, self._hours(0, late))

    @precondition(lambda self: not self.lateness)
    @rule(
        member=who,
        tier=st.sampled_from(["none", "silver", "gold", "gold", "brass"]),
        hours=st.sampled_from([-1, 10, 60, 300, 300, 900]),
        wait=soon,
    )
    def set_tier(self, member: str, tier: str, hours: int, wait: int) -> None:
        """By hand."""
        self.world.wait(wait)
        until = format_instant(self.world.now + hours * HOUR_US)
        data = {"tier": tier, "until": until, **OFFICE}
        self.world.send("command.tier.v1", member, data)

    @rule(member=who, segments=st.sampled_from([(), ("big",), ("sleeping",), programs.SEGMENTS]))
    def sort_into(self, member: str, segments: tuple[str, ...]) -> None:
        """What the read model says of the member from now on."""
        self.world.model.segments[member] = frozenset(segments)

    @precondition(lambda self: self.world.past)
    @rule(back=st.integers(0, 200), other=st.booleans())
    def again(self, back: int, other: bool) -> None:
        """An input comes a second time, or its key with something else."""
        world = self.world
        event = world.past[-1 - back % len(world.past)]
        if not other:
            # One that was a conflict itself (a referral by the same two) is one again.
            assert world.take({**event, "traceid": "other"}) in ("duplicate", "conflict")
        # Once a member is erased, profiles cannot be compared any more: their key is gone.
        elif not event["type"].startswith("member."):
            changed = event["time"].replace("Z", ".5Z")
            assert world.take({**event, "time": changed}) == "conflict"

    @precondition(lambda self: self.world.standing() > 2)
    @rule(
        kind=st.sampled_from(["freeze", "freeze", "unfreeze", "merge", "merge", "close", "erase"]),
        member=who,
        into=who,
        wait=soon,
    )
    def end(self, kind: str, member: str, into: str, wait: int) -> None:
        """What the office does to an account; a frozen one is mostly opened again."""
        self._hours(wait, 0)
        if kind == "erase":
            self.world.send("member.erased.v1", member, {})
        elif kind == "merge":
            self.world.send("command.merge.v1", member, {"into": into, **OFFICE})
        else:
            opens = self.world.is_frozen(member) and member != into
            self.world.send(f"command.{'unfreeze' if opens else kind}.v1", member, OFFICE)

    @invariant()
    def all_holds(self) -> None:
        if hasattr(self, "world"):
            self.world.audit()
            self.world.agree()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()


def _part_of(amount: int) -> st.SearchStrategy[int]:
    """A part of what was paid, all of it, or a little more than it."""
    return st.one_of(st.integers(0, amount), st.just(amount), st.just(amount + 1))


def live(histories: int, seed_wanted: int | None = None, *, shrink: bool = True) -> None:
    """So many histories. The seed is printed: pytest shows it when one fails."""
    if seed_wanted is None:
        seed_wanted = random.randrange(SEED_MAX)
    chosen = int(os.environ.get("MACHINE_SEED") or seed_wanted)
    print(f"MACHINE_SEED={chosen} lives the same histories")  # noqa: T201
    run_state_machine_as_test(
        seed(chosen)(type("SeededHistories", (Histories,), {})),
        settings=settings(
            max_examples=histories,
            deadline=None,
            stateful_step_count=STEPS_MAX,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            phases=[phase for phase in Phase if shrink or phase is not Phase.shrink],
            report_multiple_bugs=False,
        ),
    )


def test_histories() -> None:
    live(HISTORIES, SEED)


@pytest.mark.long
def test_many_histories() -> None:
    live(HISTORIES_LONG)
