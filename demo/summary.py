"""The demo's result: gathered as plain data, printed as a page a person reads in a minute."""

from collections.abc import Mapping
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from ledger.core.calendar import from_instant
from schemas.fields import Instant

RULES = """
SELECT award ->> 'rule', award ->> 'kind', count(*)::bigint,
       sum((award ->> 'points')::bigint)::bigint
FROM ledger.events,
     jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb -> 'awards') AS award
WHERE shard >= 0 GROUP BY 1, 2 ORDER BY 4 DESC, 1
"""
SEGMENTS = """
SELECT segment, count(*)::bigint FROM read.segments_at(%s)
WHERE member_id = ANY(%s) GROUP BY 1 ORDER BY 2 DESC, 1
"""
BUSIEST = """
SELECT member_id, max(version)::bigint FROM ledger.events WHERE shard >= 0
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1
"""


def gather(
    connection: psycopg.Connection[Any], at: Instant, rows: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Totals by rule, tiers, segments and the busiest account, as of `at`."""
    tiers: dict[str, int] = {}
    for row in rows.values():
        tiers[row["tier"]] = tiers.get(row["tier"], 0) + 1
    totals = {
        column: sum(row[column] for row in rows.values())
        for column in ("available", "pending", "reserved", "expired", "granted", "debt")
    }
    busiest = connection.execute(BUSIEST).fetchone()
    return {
        "rules": [
            {"rule": rule, "kind": kind, "awards": awards, "points": points}
            for rule, kind, awards, points in connection.execute(RULES)
        ],
        "totals": totals,
        "tiers": dict(sorted(tiers.items(), key=lambda item: (-item[1], item[0]))),
        "segments": dict(connection.execute(SEGMENTS, (from_instant(at), list(rows))).fetchall()),
        "busiest": {"member_id": busiest[0], "events": busiest[1]} if busiest else None,
    }


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the report."""
    _show_checks(report, console)
    _show_points(report, console)
    _show_busiest(report, console)
    _show_time(report, console)
    console.print("\n[bold]What to try next[/bold]")
    for command in report["try_next"]:
        console.print(f"  {command}", highlight=False, soft_wrap=True)


def _show_checks(report: Mapping[str, Any], console: Console) -> None:
    table = Table(title="Checks", title_justify="left", show_header=False)
    table.add_column("check")
    table.add_column("result")
    table.add_column("what was compared")
    told = " + ".join(
        f"{report[name]:,} {name.replace('_', '-')}"
        for name in ("applied", "duplicate", "refused", "dead_lettered", "waiting")
    )
    table.add_row(
        "every input accounted for",
        _mark(report["accounted"]),
        f"{told} = {report['published']:,} published",
    )
    table.add_row(
        "postings sum to zero",
        _mark(report["postings_sum"] == 0 and report["unbalanced_events"] == 0),
        f"sum {report['postings_sum']} over {report['events']:,} events,"
        f" {report['unbalanced_events']} unbalanced",
    )
    table.add_row(
        "hash chain",
        _mark(report["chain_verified"]),
        f"{report['events']:,} events recomputed from the ledger's id on"
        if report["chain_verified"]
        else str(report["chain_error"]),
    )
    if report["reference_unsupported"] is not None:
        table.add_row("reference model", "not asked", report["reference_unsupported"])
    else:
        table.add_row(
            "reference model agrees",
            _mark(report["members_agreeing"] == report["members"]),
            f"{report['members_agreeing']:,} of {report['members']:,} members at {report['at']}:"
            " available, pending, expired, tier",
        )
    console.print(table)
    for difference in report["differences"]:
        console.print(f"  differs: {difference}")
    if report["published"] and report["duplicate"] == report["published"]:
        console.print(
            "No balance changed: every event of this run was a duplicate of one already applied."
        )


def _mark(good: bool) -> str:
    return "[green]ok[/green]" if good else "[red]WRONG[/red]"


def _show_points(report: Mapping[str, Any], console: Console) -> None:
    table = Table(title=f"Points by rule, whole log ({report['program_id']})", title_justify="left")
    table.add_column("rule")
    table.add_column("kind")
    table.add_column("awards", justify="right")
    table.add_column("points", justify="right")
    for row in report["rules"]:
        table.add_row(row["rule"], row["kind"], f"{row['awards']:,}", f"{row['points']:,}")
    console.print(table)
    totals = report["totals"]
    console.print(
        f"As of {report['at']}: "
        + ", ".join(
            f"{totals[name]:,} {name}"
            for name in ("granted", "available", "pending", "expired", "debt")
        )
    )
    console.print("Tiers: " + _counts(report["tiers"]))
    console.print("Segments: " + _counts(report["segments"]))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items()) or "nobody"


def _show_busiest(report: Mapping[str, Any], console: Console) -> None:
    busiest = report["busiest"]
    if busiest is None:
        return
    console.print(
        f"\n[bold]The busiest account[/bold], member {busiest['member_id']}"
        f" ({busiest['events']:,} events), its last entries:"
    )
    for line in busiest["entries"]:
        console.print(f"  {line}", highlight=False, soft_wrap=True)


def _show_time(report: Mapping[str, Any], console: Console) -> None:
    table = Table(
        title="Where the time went",
        title_justify="left",
        caption="the parts of load run side by side, each counted from its beginning",
        caption_justify="left",
    )
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("purchases/s", justify="right")
    for stage, figures in report["stages"].items():
        rate = figures["purchases_per_second"]
        table.add_row(stage, f"{figures['seconds']:.1f}", f"{rate:,.0f}")
    table.add_row(
        "whole demo", f"{report['seconds']:.1f}", f"{report['purchases_per_second']:,.0f}"
    )
    console.print()
    console.print(table)
    memory = ", ".join(f"{name} {mib:,} MiB" for name, mib in report["peak_memory_mib"].items())
    if memory:
        console.print(f"Peak memory: {memory}")
