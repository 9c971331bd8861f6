"""A back-test's figures as files: Parquet, PNG charts, and one HTML page that holds the charts.

Points and money stay integers (int64); only charts draw floats. pyarrow and matplotlib are imported
here and nowhere else, when a file is asked for.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from analytics.backtest import Result
from analytics.backtest_tally import AFTER, BEFORE, Member, Row
from ledger.errors import LedgerError

MEMBERS_FILE = "members-{shard:04d}-{number}.parquet"

BARS_MAX = 20
"""Bars of a chart: more cannot be read. The largest are drawn, the Parquet files have all."""

CHART_DPI = 110
CHART_INCHES = (9.0, 4.5)

BINS = 40
"""Of the histogram of members' changes."""

BEFORE_COLOUR, AFTER_COLOUR = "#8a8f98", "#2563eb"


def folder(path: str | Path) -> Path:
    """The folder, made if it is not there. Raises LedgerError (`cannot_write`)."""
    where = Path(path)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"cannot write to {where}: {error.strerror}; name another folder.", "cannot_write"
        ) from None
    return where


def write_members(path: str, shard: int, number: int, members: Sequence[Member]) -> None:
    """One row per member that one round of a shard has counted: `members-NNNN-N.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {"member_id": [one.member_id for one in members]}
    for side in ("before", "after"):
        for name in Member("").before.__struct_fields__:
            columns[f"{name}_{side}"] = [getattr(getattr(one, side), name) for one in members]
        columns[f"tier_{side}"] = [getattr(one, f"tier_{side}") for one in members]
    columns["shortfall"] = [one.shortfall for one in members]
    texts = ("member_id", "tier_before", "tier_after")
    schema = pa.schema(
        [pa.field(name, pa.string() if name in texts else pa.int64()) for name in columns]
    )
    where = folder(path) / MEMBERS_FILE.format(shard=shard, number=number)
    pq.write_table(pa.table(columns, schema=schema), where)


def write_groups(path: str | Path, result: Result) -> Path:
    """`groups.parquet`: one row per rule, tier, segment, store and month."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "group": group,
            "key": key,
            **{
                f"{name}_{side}": getattr(row, name)[at]
                for name in ("points", "awards", "cost")
                for at, side in ((BEFORE, "before"), (AFTER, "after"))
            },
        }
        for group, found in result.tally.groups.items()
        for key, row in sorted(found.items())
    ]
    numbers: list[pa.Field[Any]] = [
        pa.field(f"{name}_{side}", pa.int64())
        for name in ("points", "awards", "cost")
        for side in ("before", "after")
    ]
    texts: list[pa.Field[Any]] = [pa.field("group", pa.string()), pa.field("key", pa.string())]
    schema = pa.schema(texts + numbers)
    where = folder(path) / "groups.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), where)
    return where


def write_charts(path: str | Path, result: Result) -> list[Path]:
    """The charts as PNG files, and `backtest.html`, which needs none of them beside it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    where, pictures = folder(path), []

    def draw(name: str, title: str, plot: Any) -> None:
        figure = Figure(figsize=CHART_INCHES, layout="constrained")
        axes = figure.add_subplot()
        plot(axes)
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
        held = BytesIO()
        # Without the moment of drawing: the same figures are the same bytes.
        figure.savefig(held, format="png", dpi=CHART_DPI, metadata={"Software": None})
        file = where / f"{name}.png"
        file.write_bytes(held.getvalue())
        pictures.append((file, title, held.getvalue()))

    groups = result.tally.groups
    for group, title in (
        ("rule", "Points by rule"),
        ("tier", "Points by tier"),
        ("segment", "Points by segment"),
        ("store", "Points by store"),
        ("month", "Points by month"),
    ):
        if groups[group]:
            rows = _largest(groups[group].items(), in_order=group == "month")
            draw(f"by-{group}", title, lambda axes, rows=rows: _bars(axes, rows))
    changes = [one.change for one in result.tally.changed]
    if changes:
        draw(
            "most-changed",
            f"The {len(changes)} members changed the most (points)",
            lambda axes: _members(axes, result.tally.changed),
        )
    page = where / "backtest.html"
    page.write_text(_page(result, [(title, data) for _, title, data in pictures]), "utf-8")
    return [file for file, _, _ in pictures] + [page]


def _largest(rows: Iterable[tuple[str, Row]], *, in_order: bool) -> list[tuple[str, Row]]:
    found = sorted(rows)
    if in_order:
        return found
    return sorted(found, key=lambda one: -max(one[1].points))[:BARS_MAX]


def _bars(axes: Any, rows: Sequence[tuple[str, Row]]) -> None:
    places = range(len(rows))
    width = 0.4
    for at, colour, label in ((BEFORE, BEFORE_COLOUR, "before"), (AFTER, AFTER_COLOUR, "after")):
        shift = -width / 2 if at == BEFORE else width / 2
        heights = [row.points[at] for _, row in rows]
        axes.bar([p + shift for p in places], heights, width, color=colour, label=label)
    slanted = {"rotation": 40, "ha": "right"} if len(rows) > 6 else {}
    axes.set_xticks(list(places), [key for key, _ in rows], **slanted)
    axes.set_ylabel("points granted")
    axes.legend(frameon=False)


def _members(axes: Any, members: Sequence[Member]) -> None:
    shown = list(reversed(members[:BARS_MAX]))
    colours = [AFTER_COLOUR if one.change > 0 else "#dc2626" for one in shown]
    axes.barh([one.member_id for one in shown], [one.change for one in shown], color=colours)
    axes.axvline(0, color="black", linewidth=0.8)


def _page(result: Result, charts: Sequence[tuple[str, bytes]]) -> str:
    from analytics.backtest_report import lines

    drawn = "\n".join(
        f'<h2>{html.escape(title)}</h2>\n<img alt="{html.escape(title)}"'
        f' src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        for title, data in charts
    )
    told = html.escape("\n".join(lines(result)))
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Back-test</title>\n'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;"
        "padding:0 1rem}img{max-width:100%}pre{white-space:pre-wrap}</style>\n"
        f"<h1>Back-test of version {html.escape(result.version[:12])}</h1>\n<pre>{told}</pre>\n"
        f"{drawn}\n</html>\n"
    )
