"""A back-test's figures for programs and for people, and what a sample says of all.

A figure of a sample is exact for the members in it; `estimate` extrapolates it by the mean per
member, with the standard error of a simple random sample without replacement:
N · sqrt((1 − n/N) · s² / n) (Cochran, Sampling Techniques, chapter 2). Estimates are the only
floats, and nothing is posted by them.
"""

from math import sqrt
from typing import Any, NamedTuple

from analytics.backtest import Result
from analytics.backtest_tally import AFTER, BEFORE, NONE, Member, Row, Side
from ledger.core.calendar import format_instant

ESTIMATED = ("points", "granted", "cost", "liability", "shortfall")
"""What is extrapolated: changes of net points, of points granted, of their cost, of the liability;
and the shortfall."""


class Estimate(NamedTuple):
    """What all members together would come to, with its standard error."""

    total: float
    standard_error: float


def estimate(result: Result, name: str) -> Estimate:
    """The total over all members of a change, from those in the sample."""
    taken, everyone = result.tally.members, result.all_members
    total, squares = result.tally.squares.get(name, [0, 0])
    if not taken:
        return Estimate(0.0, 0.0)
    mean = total / taken
    if taken < 2 or taken >= everyone:
        return Estimate(mean * everyone, 0.0 if taken >= everyone else float("inf"))
    variance = (squares - total * total / taken) / (taken - 1)
    error = everyone * sqrt((1 - taken / everyone) * max(variance, 0.0) / taken)
    return Estimate(mean * everyone, error)


def as_json(result: Result) -> dict[str, Any]:
    """The whole result. Amounts of money are in minor units."""
    tally = result.tally
    found: dict[str, Any] = {
        "version": result.version,
        "recorded_versions": list(result.recorded_versions),
        "currency": result.currency,
        "from": format_instant(result.start),
        "to": format_instant(result.last),
        "members": tally.members,
        "all_members": result.all_members,
        "inputs": tally.inputs,
        "identical": tally.identical,
        "effects": result.effects,
        "before": _side(tally.before),
        "after": _side(tally.after),
        "change": {
            name: getattr(tally.after, name) - getattr(tally.before, name)
            for name in (
                "granted",
                "taken",
                "net",
                "expired",
                "spent",
                "cost",
                "outstanding",
                "debt",
                "liability",
            )
        },
        "winners": {"members": tally.winners, "points": tally.won},
        "losers": {"members": tally.losers, "points": tally.lost_points},
        "shortfall": {"members": tally.members_short, "points": tally.shortfall},
        "tiers_at_the_end": [
            {"before": before, "after": after, "members": members}
            for (before, after), members in sorted(tally.tiers.items())
        ],
        "groups": {
            group: {key: _row(row) for key, row in sorted(rows.items())}
            for group, rows in tally.groups.items()
        },
        "budgets": {
            budget: {
                "before": used[BEFORE],
                "after": used[AFTER],
                "total": result.budgets.get(budget),
            }
            for budget, used in sorted(tally.budgets.items())
        },
        "most_changed": [_member(one) for one in tally.changed],
        "most_short": [_member(one) for one in tally.short],
        "undecided": dict(sorted(tally.undecided.items())),
        "left_out": [{"member_id": member, "why": why} for member, why in sorted(tally.left_out)],
        "warnings": warnings(result),
    }
    if sampled(result):
        found["sample"] = {
            "percent": result.options.sample,
            "seed": result.options.seed,
            "estimates": {name: estimate(result, name)._asdict() for name in ESTIMATED},
        }
    return found


def sampled(result: Result) -> bool:
    """Whether only a part of the members was looked at."""
    return result.options.sample < 100


def _side(side: Side) -> dict[str, int]:
    return {**{name: getattr(side, name) for name in side.__struct_fields__}, "net": side.net}


def _row(row: Row) -> dict[str, Any]:
    return {
        name: {"before": pair[BEFORE], "after": pair[AFTER], "change": pair[AFTER] - pair[BEFORE]}
        for name, pair in (("points", row.points), ("awards", row.awards), ("cost", row.cost))
    }


def _member(member: Member) -> dict[str, Any]:
    return {
        "member_id": member.member_id,
        "before": _side(member.before),
        "after": _side(member.after),
        "change": member.change,
        "tier_before": member.tier_before,
        "tier_after": member.tier_after,
        "shortfall": member.shortfall,
    }


def warnings(result: Result) -> list[str]:
    """What the figures do not say, as sentences."""
    found, tally = list(result.warnings), result.tally
    for budget, used in sorted(tally.budgets.items()):
        total = result.budgets.get(budget)
        if total is not None and used[AFTER] > total:
            found.append(
                f"budget {budget} has {total}, and {used[AFTER]} of it would be asked for: awards"
                f" beyond it are counted, {used[AFTER] - total} too much"
            )
    found += [
        f"{count} inputs could not be decided under the new program ({reason}); they gave nothing"
        for reason, count in sorted(tally.undecided.items())
    ]
    if tally.left_out:
        found.append(
            f"{len(tally.left_out)} members are left out of the totals, because their history is"
            f" impossible under the new program (first: {tally.left_out[0][0]},"
            f" {tally.left_out[0][1]})"
        )
    return found


def money(amount: int, currency: str) -> str:
    """Minor units as a person writes them: two places."""
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100:,}.{abs(amount) % 100:02d} {currency}"


def lines(result: Result) -> list[str]:
    """The result in a few sentences."""
    tally, currency = result.tally, result.currency
    before, after = tally.before, tally.after
    found = [
        (
            f"version {result.version[:12]} over {tally.inputs:,} recorded inputs of"
            f" {tally.members:,} members, {format_instant(result.start)} to"
            f" {format_instant(result.last)}"
        ),
        _told("points granted", before.granted, after.granted),
        _told("points taken back or forfeited", before.taken, after.taken),
        _told("points expired", before.expired, after.expired),
        _told("points spent", before.spent, after.spent),
        _told("points outstanding at the end", before.outstanding, after.outstanding),
        (
            f"cost of the points granted: {money(before.cost, currency)} before,"
            f" {money(after.cost, currency)} after ({money(after.cost - before.cost, currency)})"
        ),
        (
            f"liability at the end: {money(before.liability, currency)} before,"
            f" {money(after.liability, currency)} after"
            f" ({money(after.liability - before.liability, currency)})"
        ),
        (
            f"{tally.winners:,} members win {tally.won:,} points, {tally.losers:,} lose"
            f" {tally.lost_points:,}"
        ),
        (
            f"{tally.shortfall:,} points that {tally.members_short:,} members spent would not have"
            " been there"
        ),
    ]
    if tally.identical == tally.inputs:
        found.append("every decision is the recorded one")
    if sampled(result):
        found.append(
            f"a sample of {result.options.sample:g} % (seed {result.options.seed}):"
            f" {tally.members:,} of {result.all_members:,} members; for all of them:"
        )
        for name in ESTIMATED:
            total, error = estimate(result, name)
            what = "shortfall" if name == "shortfall" else f"change of {name}"
            found.append(f"  {what}: {total:,.0f}, standard error {error:,.0f}")
    return found + [f"note: {one}" for one in warnings(result)]


def _told(what: str, before: int, after: int) -> str:
    return f"{what}: {before:,} before, {after:,} after ({after - before:+,})"


GROUPS = (
    ("rule", "by rule"),
    ("tier", "by tier"),
    ("segment", "by segment (as recorded)"),
    ("store", "by store"),
    ("month", "by month"),
)

__all__ = ["ESTIMATED", "GROUPS", "NONE", "Estimate", "as_json", "estimate", "lines", "warnings"]
