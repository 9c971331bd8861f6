"""Stories of commands: points given by hand, reserved, spent, given to others, in all their fates.

Whatever could be decided in another order than it was sent (another topic, another member's
commands) is sent in another round, or cannot change how it ends: among the members of the ring
points go round, and each gives only what it has whoever else gives it something.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.faults.records import (
    ADJUST,
    CANCEL,
    CONFIRM,
    PURCHASE,
    RESERVE,
    RETURN,
    TRANSFER,
    Outcome,
    command_poison,
    purchase_data,
)

if TYPE_CHECKING:
    from tests.faults.generator import Generator

TTL = timedelta(minutes=30)
"""Of the program's reservations."""

RING = 80
"""Members who give each other points in every round."""

RING_POINTS = 2_000
"""What each of them was given at the start. All of it expires at one moment, so that it does not
matter which points went where."""

RING_EXPIRES = timedelta(days=30)
"""Long after the last round."""

STEP = 10
"""Points are given by the ring in such steps: lots are split no further."""

AT_MOST = 500
"""Points that the program lets a member give at once."""

ACTIVE_ROUNDS = 5
"""After so many rounds a purchase's points are spendable: two hours have passed."""

ROUNDS_AWAY_MAX = 3
"""A reservation is confirmed or cancelled at most so many rounds later; it lapses after one."""


class Commands:
    """Begins stories and lets them go on."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator
        self._has = {f"ring-{n}": RING_POINTS for n in range(RING)}
        self._sure: dict[str, int] = {}

    def open_ring(self) -> None:
        """Everybody in it gets points, once, in a round before they give any."""
        expires_at = (self._generator.now + RING_EXPIRES).isoformat()
        for member in self._has:
            self._adjust(member, RING_POINTS, expires_at=expires_at)

    def new_round(self) -> None:
        """What was given in the rounds before has arrived."""
        self._sure = dict(self._has)

    def around(self) -> None:
        """One of the ring gives to another."""
        rng = self._generator.rng
        giver, taker = rng.sample(sorted(self._has), 2)
        points = STEP * rng.randint(1, 5)
        if points <= self._sure[giver]:
            self._sure[giver] -= points
            self._has[giver] -= points
            self._has[taker] += points
            self._command(TRANSFER, giver, {"to": taker, "points": points})

    def begin(self) -> None:
        """One story, by chance."""
        stories: tuple[tuple[int, Callable[[], None]], ...] = (
            (6, self._reserves),
            (3, self._pays),
            (3, self._gives),
            (3, self._cannot),
            (1, self._other_content),
            (1, self._poison),
        )
        weights = [weight for weight, _ in stories]
        ((_, story),) = self._generator.rng.choices(stories, weights)
        story()

    def _command(
        self,
        kind: str,
        member: str,
        data: dict[str, Any],
        outcome: Outcome = "applied",
        code: str | None = None,
    ) -> None:
        self._generator.send(kind, member, data, outcome, code=code)

    def _adjust(self, member: str, points: int, **more: Any) -> None:
        data = {"points": points, "reason": "campaign", "actor": "clerk", **more}
        self._command(ADJUST, member, data)
        self._generator.account.adjusted += points

    def _reserve(self, member: str, points: int) -> str:
        number = self._generator.number("res")
        self._command(RESERVE, member, {"reservation_id": number, "points": points})
        return number

    def _reserves(self) -> None:
        """Points are given and reserved; then they are spent, some or all, given back, or time
        passes. Whoever comes after that is refused."""
        made, rng = self._generator, self._generator.rng
        member, given = made.number("spender"), STEP * rng.randint(30, 200)
        self._adjust(member, given)
        points = STEP * rng.randint(10, given // STEP)
        number, lapses_at = self._reserve(member, points), made.now + TTL
        how = rng.choice(("all", "less", "cancel"))
        data: dict[str, Any] = {"reservation_id": number}
        if how == "less":
            data["points"] = rng.randint(1, points)
        kind = CANCEL if how == "cancel" else CONFIRM
        twice = rng.random() < 0.3

        def ends() -> None:
            lapsed = made.now >= lapses_at
            if lapsed:
                self._command(kind, member, data, "refused", "unknown_reservation")
            else:
                self._command(kind, member, data)
            if twice:
                gone = lapsed or how == "cancel"
                code = "unknown_reservation" if gone else "reservation_closed"
                self._command(CANCEL, member, {"reservation_id": number}, "refused", code)

        rounds = rng.randrange(ROUNDS_AWAY_MAX)
        if rounds:
            made.after(rounds, ends)
        else:
            ends()

    def _pays(self) -> None:
        """Points that a purchase earned pay for another one; then the first comes back, which may
        leave a debt, and then the second, which gives back what paid for it."""
        made = self._generator
        member = made.number("payer")
        first = made.buy(member, least=10_000, most=20_000)
        both = made.rng.random() < 0.5
        second = purchase_data(made.number("o"), made.lines(), "store")

        def pays() -> None:
            number = self._reserve(member, 100)
            self._command(CONFIRM, member, {"reservation_id": number})
            second["redemption_id"] = number

        def buys() -> None:
            made.send(PURCHASE, member, second)

        def returns(order: dict[str, Any]) -> None:
            data = {"order_id": order["order_id"], "return_id": made.number("r")}
            made.send(RETURN, member, data)

        made.after(ACTIVE_ROUNDS, pays)
        made.after(ACTIVE_ROUNDS + 1, buys)
        if both:
            made.after(ACTIVE_ROUNDS + 2, lambda: returns(first))
        made.after(ACTIVE_ROUNDS + 3, lambda: returns(second))

    def _gives(self) -> None:
        """Points go to another member, whose debt they pay first, and are spent there."""
        made, rng = self._generator, self._generator.rng
        giver, taker = made.number("giver"), made.number("taker")
        self._adjust(giver, AT_MOST)
        points = rng.randint(300, AT_MOST)
        if rng.random() < 0.3:
            self._adjust(taker, -150, allow_debt=True)
        else:
            self._adjust(taker, 50, expires_at=(made.now + 2 * TTL).isoformat())

        def spends() -> None:
            number = self._reserve(taker, 100)
            self._command(CONFIRM, taker, {"reservation_id": number, "points": 60})

        made.after(1, lambda: self._command(TRANSFER, giver, {"to": taker, "points": points}))
        made.after(2, spends)

    def _cannot(self) -> None:
        """A command that is refused."""
        made = self._generator
        member, number = made.number("poor"), made.number("res")
        self._adjust(member, 400)
        to = made.rng.choice(sorted(self._has))
        taking = {"points": -500, "reason": "campaign", "actor": "clerk"}
        cannot: tuple[tuple[str, dict[str, Any], str], ...] = (
            (RESERVE, {"reservation_id": number, "points": 105}, "not_a_step"),
            (RESERVE, {"reservation_id": number, "points": 50}, "below_minimum"),
            (RESERVE, {"reservation_id": number, "points": 410}, "not_enough_points"),
            (CONFIRM, {"reservation_id": number}, "unknown_reservation"),
            (ADJUST, taking, "not_enough_points"),
            (TRANSFER, {"to": member, "points": 50}, "transfer_to_self"),
            (TRANSFER, {"to": made.number("nobody"), "points": 50}, "receiver_unknown"),
            (TRANSFER, {"to": to, "points": AT_MOST + 1}, "above_maximum"),
            (TRANSFER, {"to": to, "points": STEP - 1}, "below_minimum"),
            (TRANSFER, {"to": to, "points": 450}, "not_enough_points"),
        )
        kind, data, code = made.rng.choice(cannot)
        self._command(kind, member, data, "refused", code)

    def _other_content(self) -> None:
        """A command's number with another content: a dead letter."""
        made = self._generator
        member = made.number("spender")
        self._adjust(member, 300)
        document = dict(made.made[-1].record.event or {})
        document["data"] = {**document["data"], "points": 301}
        made.send_document(document, "dead_lettered", code="conflict")

    def _poison(self) -> None:
        made = self._generator
        made.made += command_poison(made.number("spender"), made.number("p"), made.now)
