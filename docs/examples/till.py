"""A till: pay a basket with points, whatever the network and the server do meanwhile.

    POINTS_URL=http://127.0.0.1:8088 POINTS_KEY=pl_… python docs/examples/till.py m-1001 12990

What makes it safe: every id is made before the first call, numbered by the receipt, and how many
points are to pay is written down before they are asked for. The client sends a call again under
the same key until there is an answer; a till that was switched off in the middle begins the same
receipt again, finds its note, and repeats the calls: what was done is answered, and not done twice.
Money is asked for only once the points are held, and the points are spent only once it is there.
"""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from points_client import Basket, Client, Line, Problem, Unavailable


class Plan(NamedTuple):
    """How a receipt is paid: points, their worth in minor units, and the money that is left."""

    points: int
    worth: int
    money: int


def pay(points: Client, member: str, receipt: str, basket: Basket, notes: Path) -> Plan:
    """Pay a basket as far as points may. May be called again for the same receipt at any time.
    Raises Problem, Unavailable."""
    plan = planned(points, member, receipt, basket, notes)
    held = f"{receipt}-points" if plan.points else None
    if held is not None:
        asked = basket.for_points()
        points.reserve(member, held, plan.points, basket=asked, key=f"{receipt}-reserve")
    # … here the customer pays `plan.money` …
    if held is not None:
        points.confirm(member, held, order_id=receipt, key=f"{receipt}-confirm")
    points.purchase(member, receipt, basket.less(plan.worth), redemption_id=held)
    return plan


def planned(points: Client, member: str, receipt: str, basket: Basket, notes: Path) -> Plan:
    """The plan of the receipt as it was written down, or a new one, written down."""
    note = notes / f"{receipt}.json"
    if note.exists():
        return Plan(*json.loads(note.read_text()))
    most = points.preview(member, basket).payable
    plan = Plan(most.points, most.amount, basket.amount - most.amount)
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
