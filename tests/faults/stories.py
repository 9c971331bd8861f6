"""Stories of several records: returns, also before their purchase, and who brought in whom.

Each says how its records must end and what they bring about on other accounts. Members of a story
are new, except those who buy often; so no story depends on another.
"""

from typing import TYPE_CHECKING, Any

from tests.faults.records import PURCHASE, REFERRAL, RETURN, purchase_data

if TYPE_CHECKING:
    from tests.faults.generator import Generator

ROUNDS_AWAY_MAX = 6
"""A story goes on at most so many rounds later."""

QUALIFIES = 2_500
"""Minor units of a line that make a first purchase qualify (at least 2,000)."""

TOO_SMALL = [{"line_id": "1", "sku": "gum", "quantity": 1, "amount": 500}]


class Stories:
    """Begins stories and lets them go on."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator

    def begin(self) -> None:
        """One story, by chance."""
        stories = (
            (3, self._returned_first),
            (1, self._never_bought),
            (5, self._brought_in),
            (1, self._buyer_before),
            (1, self._in_a_circle),
            (1, self._by_oneself),
            (2, self._other_content),
            (2, self._generator.stray),
        )
        weights = [weight for weight, _ in stories]
        ((_, story),) = self._generator.rng.choices(stories, weights)
        story()

    def comes_back(self, member: str, bought: dict[str, Any]) -> None:
        """A purchase comes back, soon or later: all of it, a line, or a part of one; then perhaps
        more than there was."""
        rng = self._generator.rng
        how, line = rng.choice(("whole", "line", "part")), rng.choice(bought["lines"])
        amount = line["amount"] if how == "line" else line["amount"] // 2
        lines = None if how == "whole" else [{"line_id": line["line_id"], "amount": amount}]
        too_much = rng.random() < 0.2

        def back() -> None:
            self._return(member, bought["order_id"], lines)
            if too_much:
                more = [{"line_id": line["line_id"], "amount": line["amount"] + 1}]
                self._return(member, bought["order_id"], more, "refused")

        rounds = rng.randrange(ROUNDS_AWAY_MAX)
        if rounds:
            self._generator.after(rounds, back)
        else:
            back()

    def _return(
        self, member: str, order: str, lines: list[dict[str, Any]] | None, outcome: Any = "applied"
    ) -> str:
        number = self._generator.number("r")
        data: dict[str, Any] = {"order_id": order, "return_id": number}
        if lines is not None:
            data["lines"] = lines
        self._generator.send(RETURN, member, data, outcome)
        return number

    def _returned_first(self) -> None:
        """The return arrives before its purchase: at once after it, or rounds later."""
        made = self._generator
        member, order = made.number("early"), made.number("o")
        back = self._return(member, order, None, "waiting")
        data = purchase_data(order, made.lines(), "store")

        def bought() -> None:
            made.send(PURCHASE, member, data)
            made.account.released(order, back, member)

        rounds = made.rng.randrange(ROUNDS_AWAY_MAX)
        if rounds:
            made.after(rounds, bought)
        else:
            bought()

    def _never_bought(self) -> None:
        """A return whose purchase never comes waits to the end."""
        self._return(self._generator.number("early"), self._generator.number("o"), None, "waiting")

    def _brought_in(self) -> None:
        """A referral and the first purchase; some qualify, some of these come back whole."""
        made = self._generator
        member, referrer = made.number("new"), made.regular()
        made.send(REFERRAL, member, {"referrer_id": referrer, "code": "C"})
        again = made.rng.random() < 0.2
        if again:
            data = {"referrer_id": made.number("other"), "code": "C"}
            made.send(REFERRAL, member, data, "refused")
        if made.rng.random() < 0.3:
            data = purchase_data(made.number("o"), TOO_SMALL, "store")
            made.send(PURCHASE, member, data)
            made.buy(member, least=QUALIFIES)  # too late: the first one closed the referral
            return
        bought = made.buy(member, least=QUALIFIES)
        made.account.reward()
        if made.rng.random() < 0.4:

            def back() -> None:
                self._return(member, bought["order_id"], None)
                made.account.revoke()

            made.after(made.rng.randint(1, ROUNDS_AWAY_MAX), back)

    def _buyer_before(self) -> None:
        """Someone who has bought is no longer brought in."""
        made = self._generator
        member, referrer = made.number("buyer"), made.regular()
        made.buy(member)
        data = {"referrer_id": referrer, "code": "C"}
        made.after(1, lambda: self._refused(member, data))

    def _in_a_circle(self) -> None:
        """Two who bring in each other: the second referral is refused."""
        made = self._generator
        one, other = made.number("one"), made.number("other")
        made.send(REFERRAL, one, {"referrer_id": other, "code": "C"})
        made.after(1, lambda: self._refused(other, {"referrer_id": one, "code": "C"}))

    def _by_oneself(self) -> None:
        member = self._generator.number("own")
        self._refused(member, {"referrer_id": member, "code": "C"})

    def _refused(self, member: str, data: dict[str, Any]) -> None:
        self._generator.send(REFERRAL, member, data, "refused")

    def _other_content(self) -> None:
        """The number of an order that there is, with another content: a dead letter."""
        made = self._generator
        member = made.regular()
        bought = made.buy(member)
        lines = [{**line, "amount": line["amount"] + 1} for line in bought["lines"]]
        data = {**bought, "lines": lines}
        made.send(PURCHASE, member, data, "dead_lettered", code="conflict")
