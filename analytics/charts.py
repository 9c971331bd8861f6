"""The charts of `points report`: one function each, from rows of the figures to a picture.

White ground and dark ink in every picture, so that it reads the same on a light and a dark page.
"""

from collections.abc import Callable, Sequence
from datetime import date
from io import BytesIO
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

INK = "#1f2933"
COLOURS = ("#1b6ca8", "#d1495b", "#8d96a3", "#2e8b57", "#b7791f", "#6b4fa0")
"""Told apart also without red and green, by their lightness."""

SIZE_INCHES = (7.2, 3.9)
DOTS_PER_INCH = 150
"""1,080 points wide: sharp at 390 px on a phone's screen."""

MONTHS_LABELLED = 9
"""Labels of the axis of months at most, so that they stand beside each other."""

LETTERS_MAX = 60
"""Letters of labels that fit beside each other below an axis; more are turned."""


class Chart(NamedTuple):
    """A picture with the words for those who do not see it."""

    name: str
    title: str
    text: str
    png: bytes


def lines(
    name: str,
    title: str,
    months: Sequence[date],
    series: dict[str, Sequence[float | None]],
    *,
    percent: bool = False,
) -> Chart:
    """Figures by month, a line each."""

    def draw(axes: Any) -> None:
        for (label, values), colour in zip(series.items(), COLOURS, strict=False):
            gaps = [float("nan") if value is None else value for value in values]
            axes.plot(range(len(months)), gaps, color=colour, marker="o", ms=3, label=label)
        _months(axes, months)
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0) if percent else _thousands)
        if len(series) > 1:
            _legend(axes)

    return Chart(name, title, _told(title, months, series, percent), _drawn(draw))


def bars(
    name: str, title: str, labels: Sequence[str], series: dict[str, Sequence[float | None]]
) -> Chart:
    """Figures by label, stacked."""

    def draw(axes: Any) -> None:
        bottom = [0.0] * len(labels)
        for (label, values), colour in zip(series.items(), COLOURS, strict=False):
            heights = [float(value or 0) for value in values]
            axes.bar(range(len(labels)), heights, bottom=bottom, color=colour, label=label)
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        axes.set_xticks(
            range(len(labels)), labels, rotation=45 if sum(map(len, labels)) > LETTERS_MAX else 0
        )
        axes.yaxis.set_major_formatter(_thousands)
        if len(series) > 1:
            _legend(axes)

    return Chart(name, title, _told(title, labels, series, False), _drawn(draw))


def heat(
    name: str, title: str, cohorts: Sequence[date], shares: Sequence[Sequence[float | None]]
) -> Chart:
    """Shares by cohort (down) and month since (across); each cell says its per cent."""
    wide = max((len(row) for row in shares), default=0)
    cells = [
        [float("nan") if value is None else value for value in [*row, *[None] * (wide - len(row))]]
        for row in shares
    ]

    def draw(axes: Any) -> None:
        axes.imshow(cells, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for y, row in enumerate(cells):
            for x, value in enumerate(row):
                if value == value:
                    colour = "white" if value > 0.55 else INK
                    axes.text(
                        x, y, f"{value:.0%}", ha="center", va="center", fontsize=7, color=colour
                    )
        axes.set_yticks(range(len(cohorts)), [f"{one:%Y-%m}" for one in cohorts], fontsize=8)
        axes.set_xticks(range(wide))
        axes.set_xlabel("months after the first purchase")
        axes.grid(visible=False)

    after = [row[1] for row in shares if len(row) > 1 and row[1] is not None]
    mean = f"; on average {sum(after) / len(after):.0%} bought again a month later" if after else ""
    text = f"{title}: {len(shares)} cohorts by the month of the first purchase{mean}."
    return Chart(name, title, text, _drawn(draw))


def _drawn(draw: Callable[[Any], None]) -> bytes:
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK)
    draw(axes)
    out = BytesIO()
    figure.savefig(out, format="png", facecolor="white", metadata={"Software": None})
    return out.getvalue()


def _months(axes: Any, months: Sequence[date]) -> None:
    every = -(-len(months) // MONTHS_LABELLED) or 1
    places = list(range(0, len(months), every))
    axes.set_xticks(places, [f"{months[place]:%Y-%m}" for place in places])


def _legend(axes: Any) -> None:
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=6, fontsize=9)


def _told(
    title: str, labels: Sequence[object], series: dict[str, Sequence[float | None]], percent: bool
) -> str:
    """The picture in words: of each line the first, the highest and the last value."""
    shown = "{:.0%}" if percent else "{:,.0f}"
    parts = []
    for label, values in series.items():
        known = [
            (value, f"{place:%Y-%m}" if isinstance(place, date) else str(place))
            for value, place in zip(values, labels, strict=True)
            if value is not None
        ]
        if known:
            (last, at), (most, top) = known[-1], max(known)
            parts.append(
                f"{label} {shown.format(most)} at most ({top}), {shown.format(last)} last ({at})"
            )
    return f"{title}: {'; '.join(parts) or 'nothing in this time'}."


def _thousand(value: float, _place: object) -> str:
    return f"{value:,.0f}"


_thousands = FuncFormatter(_thousand)
