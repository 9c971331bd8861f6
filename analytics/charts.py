"""The charts of `points report`: one function each, from rows of the figures to a picture.

Each twice: with its title on white ground, to be put anywhere; and without, on no ground, for a
page that says the title itself and may be dark.
"""

from collections.abc import Callable, Sequence
from datetime import date
from io import BytesIO
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

INK = "#1f2933"
COLOURS = ("#1b6ca8", "#d1495b", "#7b8491", "#2e8b57", "#b7791f", "#6b4fa0")
MARKERS = "os^Dv*"
"""Lines are told apart by their marks too, and bars by their order, so not by colour alone."""

SIZE_INCHES = (5.0, 3.1)
DOTS_PER_INCH = 216
"""1,080 points wide, sharp on a phone's screen, where letters of 9 points are then 9 px high."""

CELLS_INCHES = 4.3
"""Width of the cells of a heat map together, without the labels beside them."""

CELLS_FEW = 14
"""Cohorts of a heat map for which there is room in a picture of the usual height."""

MONTHS_LABELLED = 5
"""Labels of the axis of months at most, so that they stand beside each other."""

LABELS_MAX = 14
"""Labels below an axis at most; of more every second, third … is shown."""

TOLD_MAX = 6
"""Figures by label that are all told in words; of more the highest and the last."""

LETTERS_MAX = 45
"""Letters of labels that fit beside each other below an axis; more are turned."""


class Chart(NamedTuple):
    """A picture with the words for those who do not see it. `png`: with title and ground; `inlay`:
    without."""

    name: str
    title: str
    text: str
    png: bytes
    inlay: bytes


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
        for (label, values), colour, mark in zip(series.items(), COLOURS, MARKERS, strict=False):
            gaps = [float("nan") if value is None else value for value in values]
            axes.plot(range(len(months)), gaps, color=colour, marker=mark, ms=4, label=label)
        _months(axes, months)
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0) if percent else _thousands)
        if percent and axes.get_ylim()[1] > 0.9:
            axes.set_ylim(top=1.05)
        if len(series) > 1:
            _legend(axes)

    return Chart(name, title, _told(months, series, percent), *_drawn(title, draw))


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
        every = -(-len(labels) // LABELS_MAX) or 1
        shown = labels[::every]
        turned = sum(map(len, shown)) > LETTERS_MAX
        axes.set_xticks(range(0, len(labels), every), shown, rotation=45 if turned else 0)
        axes.yaxis.set_major_formatter(_thousands)
        if len(series) > 1:
            _legend(axes)

    return Chart(name, title, _told(labels, series, False), *_drawn(title, draw))


def heat(
    name: str, title: str, cohorts: Sequence[date], shares: Sequence[Sequence[float | None]]
) -> Chart:
    """Shares by cohort (down) and month since (across); each cell says its per cent."""
    wide = max((len(row) for row in shares), default=0)
    # Three digits of six tenths of their height each, and a little room.
    letters = min(7.5, CELLS_INCHES * 72 / max(1, wide) / 2.2)
    height = SIZE_INCHES[1] * max(1.0, len(shares) / CELLS_FEW)
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
                    shown = f"{value * 100:.0f}"
                    axes.text(x, y, shown, ha="center", va="center", fontsize=letters, color=colour)
        axes.set_yticks(range(len(cohorts)), [f"{one:%Y-%m}" for one in cohorts], fontsize=7)
        axes.set_xticks(range(wide), [str(n) for n in range(wide)], fontsize=7)
        axes.set_xlabel("per cent, by months after the first purchase", fontsize=8, color=INK)
        axes.grid(visible=False)

    after = [row[1] for row in shares if len(row) > 1 and row[1] is not None]
    mean = f"; on average {sum(after) / len(after):.0%} bought again a month later" if after else ""
    text = f"{len(shares)} cohorts by the month of the first purchase{mean}."
    return Chart(name, title, text, *_drawn(title, draw, height))


def _drawn(
    title: str, draw: Callable[[Any], None], height: float = SIZE_INCHES[1]
) -> tuple[bytes, bytes]:
    figure = Figure(figsize=(SIZE_INCHES[0], height), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    # Half transparent, so that it is as quiet on a dark ground.
    axes.grid(axis="y", color="#8795a1", alpha=0.35, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    draw(axes)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold", color=INK)
    png = _saved(figure, facecolor="white")
    figure.suptitle("")
    return png, _saved(figure, transparent=True)


def _saved(figure: Figure, **options: Any) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None}, **options)
    return out.getvalue()


def _months(axes: Any, months: Sequence[date]) -> None:
    every = -(-len(months) // MONTHS_LABELLED) or 1
    places = list(range(0, len(months), every))
    axes.set_xticks(places, [f"{months[place]:%Y-%m}" for place in places])


def _legend(axes: Any) -> None:
    axes.legend(
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=3,
        fontsize=9,
        labelcolor=INK,
        columnspacing=1.2,
        handletextpad=0.5,
    )


def _told(
    labels: Sequence[object], series: dict[str, Sequence[float | None]], percent: bool
) -> str:
    """The picture in words: of each series all values, or the highest and the last."""
    shown = "{:.0%}" if percent else "{:,.0f}"
    parts = []
    for label, values in series.items():
        known = [
            (value, f"{place:%Y-%m}" if isinstance(place, date) else str(place))
            for value, place in zip(values, labels, strict=True)
            if value is not None
        ]
        if len(known) <= TOLD_MAX and not any(isinstance(one, date) for one in labels):
            each = (f"{place} {shown.format(value)}" for value, place in known)
            parts.append(f"{label}: {', '.join(each)}")
        elif known:
            (last, at), (most, top) = known[-1], max(known)
            parts.append(
                f"{label} {shown.format(most)} at most ({top}), {shown.format(last)} last ({at})"
            )
    told = "; ".join(parts) or "nothing in this time"
    return f"{told[0].upper()}{told[1:]}."


def _thousand(value: float, _place: object) -> str:
    return f"{value:,.0f}"


_thousands = FuncFormatter(_thousand)
