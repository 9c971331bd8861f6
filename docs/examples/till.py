"""A till: pay a basket with points, whatever the network and the server do meanwhile.

    POINTS_URL=http://127.0.0.1:8088 POINTS_KEY=pl_… python docs/examples/till.py m-1001 12990

What makes it safe: every id is made before the first call, numbered by the receipt, and how many
points are to pay is written down before they are asked for. The client sends a call again under
the same key until there is an answer; a till that was switched off in the middle begins the same
receipt again, finds its note, and repeats the calls: what was done is answered, and not done twice.
Money is asked for only once the points are held, for hours, and points are spent only once it is
there. What was bought is reported whatever became of the points.
"""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from points_client import Basket, Client, Line, Problem, Unavailable

HOLD_SECONDS = 4 * 3_600
"""How long points are held: a till that was switched off comes back the same day."""

REFUSED = 422
"""The status of an answer that the ledger keeps under the call's key: another try gets it again."""


class Plan(NamedTuple):
    """How a receipt is paid: points, their worth in minor units, and the money that is left.
    `attempt`: tells this plan from one before it whose points were refused. `excluded`: categories
    whose lines points do not pay for."""

    points: int
    worth: int
    money: int
    attempt: str
    excluded: list[str]


def pay(points: Client, member: str, receipt: str, basket: Basket, notes: Path) -> Plan:
    """Pay a basket as far as points may. May be called again for the same receipt at any time.
    The answer says 0 points where they could not be spent any more. Raises Unavailable, and Problem
    before money is asked for when the points are refused: then the next call makes a new plan."""
    plan = planned(points, member, receipt, basket, notes)
    held = f"{receipt}-points" if plan.points else None
    if held is not None:
        asked = basket.for_points()
        try:
            key = f"{receipt}-reserve-{plan.attempt}"
            points.reserve(
                member, held, plan.points, basket=asked, ttl_seconds=HOLD_SECONDS, key=key
            )
        except Problem as problem:
            if problem.status == REFUSED:
                noted(receipt, notes).unlink()
            raise
    # … here the customer pays `plan.money` …
    spent = held
    if held is not None:
        try:
            points.confirm(member, held, order_id=receipt, key=f"{receipt}-confirm")
        except Problem as problem:  # they lapsed, or the account was frozen meanwhile
            if problem.status != REFUSED:
                raise
            spent = None
    points.purchase(member, receipt, basket.less(plan.worth, plan.excluded), redemption_id=spent)
    return plan if spent == held else plan._replace(points=0, worth=0)


def noted(receipt: str, notes: Path) -> Path:
    """Where the plan of a receipt is written down."""
    return notes / f"{receipt}.json"


def planned(points: Client, member: str, receipt: str, basket: Basket, notes: Path) -> Plan:
    """The plan of the receipt as it was written down, or a new one, written down."""
    note = noted(receipt, notes)
    if note.exists():
        return Plan(*json.loads(note.read_text()))
    most = points.preview(member, basket).payable
    money = basket.amount - most.amount
    plan = Plan(most.points, most.amount, money, uuid4().hex, most.excluded_categories)
    draft = note.with_suffix(".draft")
    with draft.open("w") as file:
        file.write(json.dumps(plan))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(note)
    return plan


def main() -> int:
    """One receipt from the command line: the member, and the amount in minor units."""
    member, amount = sys.argv[1], int(sys.argv[2])
    receipt = os.environ.get("RECEIPT", f"till-1:{os.getpid()}")
    lines = [Line("1", "article", amount)]
    basket = Basket("store-1", "store", os.environ.get("CURRENCY", "USD"), lines)
    with Client(os.environ["POINTS_URL"], os.environ["POINTS_KEY"]) as points:
        try:
            plan = pay(points, member, receipt, basket, Path(os.environ.get("NOTES", ".")))
        except Problem as problem:
            print(f"no points on this receipt: {problem}")
            return 1
        except Unavailable as error:
            print(f"the ledger does not answer: {error} Begin the receipt again later.")
            return 2
    print(f"{receipt}: {plan.points} points spent, {plan.money} paid in money")
    return 0


if __name__ == "__main__":
    sys.exit(main())
