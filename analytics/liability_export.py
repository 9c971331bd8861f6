"""The liability as double entries: CSV, and a beancount file that proves itself.

Each month makes two entries on its last day: the points that moved (commodity POINTS), and the
contract liability (the program's currency). Liabilities are credits, so below 0, as beancount has
them. After each month the file asserts both balances. Beancount is GPL: its format is written here
by hand, its code is not used.
"""

import csv
from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple, TextIO

from babel.numbers import get_currency_precision

from analytics.deferred import Deferred
from analytics.liability_log import KINDS
from analytics.liability_movement import Month

POINTS = "POINTS"
"""The commodity of points."""

OUTSTANDING = "Liabilities:Points:Outstanding"
CONTRACT = "Liabilities:Points:Contract"
SALES = "Income:Sales"
_OPENING_POINTS = "Equity:Points:Opening"
_OPENING = "Equity:Opening-Balances"

_POINT_ACCOUNTS = {
    kind: "Equity:Points:" + kind.replace("_", " ").title().replace(" ", "-") for kind in KINDS
}
_INCOME = {
    "deferred": SALES,
    "reversed": SALES,
    "redeemed": "Income:Points:Redeemed",
    "breakage": "Income:Points:Breakage",
}
"""Against which account the contract liability moves."""


class Entry(NamedTuple):
    """`postings` (account, amount in the smallest unit) of one `unit` sum to 0."""

    day: date
    text: str
    unit: str
    postings: tuple[tuple[str, int], ...]


class Asserted(NamedTuple):
    """At the beginning of `day` the account holds the amount."""

    day: date
    account: str
    unit: str
    amount: int


Item = Entry | Asserted


def items(months: Sequence[Month], deferred: Sequence[Deferred], currency: str) -> Iterator[Item]:
    """Entries and assertions of the months, in order; both sequences are of the same months."""
    for first, (moved, owed) in enumerate(zip(months, deferred, strict=True)):
        assert moved.month == owed.month, "the same months"
        begins, day = days_of(moved.month)
        if not first:
            before = begins - timedelta(days=1)
            yield from _entry(before, "Opening", POINTS, OUTSTANDING,
                              [(_OPENING_POINTS, moved.opening_points)])  # fmt: skip
            yield from _entry(before, "Opening", currency, CONTRACT, [(_OPENING, owed.opening)])
        sides = [(_POINT_ACCOUNTS[kind], moved.points[kind]) for kind in KINDS]
        yield from _entry(day, f"Points of {moved.month}", POINTS, OUTSTANDING, sides)
        for name, account in _INCOME.items():
            amount = getattr(owed, name)
            text = f"Points of {owed.month}: {name}"
            into = amount if name == "deferred" else -amount
            yield from _entry(day, text, currency, CONTRACT, [(account, into)])
        after = day + timedelta(days=1)
        yield Asserted(after, OUTSTANDING, POINTS, -moved.closing_points)
        yield Asserted(after, CONTRACT, currency, -owed.closing)


def _entry(
    day: date, text: str, unit: str, liability: str, sides: Iterable[tuple[str, int]]
) -> Iterator[Entry]:
    """`sides`: what each account brings into the liability."""
    some = [(account, amount) for account, amount in sides if amount]
    if some:
        total = sum(amount for _, amount in some)
        yield Entry(day, text, unit, ((liability, -total), *some))


def days_of(month: str) -> tuple[date, date]:
    """The first and the last day of `2017-06`."""
    year, number = map(int, month.split("-"))
    return date(year, number, 1), date(year, number, monthrange(year, number)[1])


def write_csv(found: Iterable[Item], out: TextIO) -> None:
    """A row for each posting: amounts in the smallest unit (points, minor units), debits above 0;
    those of one `entry` sum to 0."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("entry", "date", "text", "account", "unit", "amount"))
    entries = (item for item in found if isinstance(item, Entry))
    for number, entry in enumerate(entries, 1):
        for account, amount in entry.postings:
            writer.writerow(
                (number, entry.day.isoformat(), entry.text, account, entry.unit, amount)
            )


def write_beancount(found: Sequence[Item], currency: str, title: str, out: TextIO) -> None:
    """The same as a beancount file, with an assertion of both balances after each month."""
    places = get_currency_precision(currency)
    out.write(f'option "title" "{title}"\noption "operating_currency" "{currency}"\n\n')
    begin = min((item.day for item in found), default=date(1970, 1, 1)).isoformat()
    out.write(f"{begin} commodity {POINTS}\n{begin} commodity {currency}\n\n")
    of_points = (OUTSTANDING, _OPENING_POINTS, *_POINT_ACCOUNTS.values())
    of_money = (CONTRACT, _OPENING, *dict.fromkeys(_INCOME.values()))
    out.writelines(f"{begin} open {account} {POINTS}\n" for account in of_points)
    out.writelines(f"{begin} open {account} {currency}\n" for account in of_money)
    for item in found:
        decimals = 0 if item.unit == POINTS else places
        if isinstance(item, Asserted):
            amount = decimal(item.amount, decimals)
            out.write(f"\n{item.day.isoformat()} balance {item.account} {amount} {item.unit}\n")
            continue
        out.write(f'\n{item.day.isoformat()} * "{item.text}"\n')
        out.writelines(
            f"  {account}  {decimal(side, decimals)} {item.unit}\n"
            for account, side in item.postings
        )


def decimal(amount: int, places: int) -> str:
    """An amount of smallest units as a decimal: -12990 with two places is -129.90."""
    sign, digits = "-" if amount < 0 else "", str(abs(amount)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits
