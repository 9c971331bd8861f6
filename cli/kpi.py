"""`points kpi …`: the figures of docs/kpi.md, for people and programs.

Thin: the figures are functions of the database (`analytics.kpis`), the estimates are
`analytics.customer_value` and `analytics.uplift`.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from analytics import kpis
from analytics.errors import AnalysisRefused
from analytics.holdout import in_holdout, members
from analytics.kpis import Asked
from cli.context import parse_moment, print_json
from cli.members import AsJson, At
from cli.projections import moment_json, reading
from cli.rows import AsCsv, one_form, print_csv, print_json_rows
from ledger.core.calendar import from_instant


class Grain(StrEnum):
    """By which local period."""

    all = "all"
    day = "day"
    week = "week"
    month = "month"


class By(StrEnum):
    """By which dimension."""

    all = "all"
    store = "store"
    region = "region"
    channel = "channel"
    segment = "segment"
    campaign = "campaign"


From = Annotated[
    str | None, typer.Option("--from", help="From this moment on, RFC 3339; the first of all.")
]
To = Annotated[str | None, typer.Option("--to", help="Before this moment, RFC 3339; now.")]
GrainOption = Annotated[Grain, typer.Option("--grain", help="Local days, ISO weeks, months.")]
ByOption = Annotated[By, typer.Option("--by", help="Of each store, region, …; a campaign = rule.")]
Horizon = Annotated[
    int, typer.Option("--days", min=1, max=3_650, help="Predict so many days ahead.")
]
Percent = Annotated[
    float | None,
    typer.Option("--holdout-percent", min=0.01, max=99.99, help="As `points kpi holdout` chose."),
]

IDLE_DAYS = 90
"""Who has not bought for a quarter has gone, unless asked otherwise."""

WIDTH_MIN = 10
"""Of a column on the screen: most figures fit."""


def sales(
    since: From = None,
    until: To = None,
    grain: GrainOption = Grain.month,
    by: ByOption = By.all,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Participation, active members, average check, frequency.

    Example: `points kpi sales --grain week --by store --from 2017-06-01T00:00:00Z`
    """
    _show("sales", since, until, as_json, as_csv, grain=grain, by=by)


def points(
    since: From = None,
    until: To = None,
    grain: GrainOption = Grain.month,
    by: ByOption = By.all,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Points granted, taken back, spent and expired; earn, burn and redemption rate, breakage.

    Example: `points kpi points --grain month --csv`
    """
    _show("points", since, until, as_json, as_csv, grain=grain, by=by)


def campaigns(
    since: From = None,
    until: To = None,
    grain: GrainOption = Grain.all,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """What each rule granted, on what turnover, and what it costs.

    Example: `points kpi campaigns --from 2017-06-01T00:00:00Z --to 2017-09-01T00:00:00Z`
    """
    _show("campaigns", since, until, as_json, as_csv, grain=grain)


def retention(
    since: From = None,
    until: To = None,
    grain: GrainOption = Grain.month,
    by: ByOption = By.all,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Cohorts by first purchase: how many bought again in each later period.

    Example: `points kpi retention --grain month`
    """
    _show("retention", since, until, as_json, as_csv, grain=grain, by=by)


def churn(
    since: From = None,
    until: To = None,
    grain: GrainOption = Grain.month,
    by: ByOption = By.all,
    idle_days: Annotated[
        int, typer.Option(min=1, max=3_650, help="Who has not bought for so long has gone.")
    ] = IDLE_DAYS,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Members who came, came back, and have not bought for so many days.

    Example: `points kpi churn --idle-days 60`
    """
    _show("churn", since, until, as_json, as_csv, grain=grain, by=by, idle_days=idle_days)


def referrals(
    since: From = None,
    until: To = None,
    grain: GrainOption = Grain.month,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """The funnel: registered, qualified, rewarded, taken back.

    Example: `points kpi referrals --grain month`
    """
    _show("referrals", since, until, as_json, as_csv, grain=grain)


def rfm(at: At = None, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """How many members have which RFM scores at a moment.

    Example: `points kpi rfm --at 2018-01-15T00:00:00Z`
    """
    _show("rfm", None, at, as_json, as_csv, until_option="--at")


def value(
    at: At = None,
    days: Horizon = 365,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """What each member has been worth, and is expected to be worth (BG/NBD, gamma-gamma).

    Example: `points kpi value --at 2018-01-01T00:00:00Z --days 180 --csv > value.csv`
    """
    one_form(as_json, as_csv)
    from analytics import customer_value  # imported late: scipy takes a second

    moment = from_instant(parse_moment(at))
    with reading() as connection:
        found = customer_value.customers(connection, moment)
    try:
        predicted = customer_value.predict(found, days)
    except AnalysisRefused as refused:
        if refused.code not in ("too_few_members", "no_fit"):
            raise
        typer.echo(f"no prediction: {refused.message}", err=True)
        predicted = None
    columns = [*customer_value.Customer._fields]
    rows: Iterable[Sequence[Any]] = found
    if predicted is not None:
        columns += [f"predicted_{name}" for name in customer_value.Prediction._fields]
        rows = [(*one, *two) for one, two in zip(found, predicted.of_members, strict=True)]
        if not as_json:
            _tell_models(predicted)
    if as_json:
        models = None
        if predicted is not None:
            models = {
                "buying": predicted.buying._asdict(),
                "spending": predicted.spending._asdict(),
                "correlation": predicted.correlation,
            }
        shown = {"at": moment_json(moment), "days": days, "models": models}
        shown["members"] = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json(shown)
    else:
        _print(columns, rows, as_csv)


def _tell_models(predicted: Any) -> None:
    buying, spending = predicted.buying, predicted.spending
    typer.echo(
        f"BG/NBD r={buying.r:.4g} alpha={buying.alpha:.4g} a={buying.a:.4g} b={buying.b:.4g}; "
        f"gamma-gamma p={spending.p:.4g} q={spending.q:.4g} gamma={spending.gamma:.6g}; "
        f"correlation of how often and how much {predicted.correlation:+.2f}",
        err=True,
    )


def holdout(
    campaign: Annotated[str, typer.Argument(help="The rule's id, or any name of the campaign.")],
    percent: Annotated[
        float, typer.Option("--percent", min=0.01, max=99.99, help="Share of the members.")
    ] = 10.0,
    others: Annotated[bool, typer.Option(help="List those who are not of the group.")] = False,
) -> None:
    """List the members of a hold-out group, chosen by a hash: the same whenever it is asked.

    Example: `points kpi holdout spring --percent 10 --others > to-tag.txt`
    """
    with reading() as connection:
        for member in members(connection):
            if in_holdout(campaign, member, percent) is not others:
                typer.echo(member)


def uplift(
    rule: Annotated[str, typer.Argument(help="The campaign's rule.")],
    since: From = None,
    until: To = None,
    file: Annotated[
        Path | None,
        typer.Option("--holdout-file", help="Member ids, one a line.", dir_okay=False),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--holdout-tag", help="Who has this tag in the profile.")
    ] = None,
    percent: Percent = None,
    margin: Annotated[
        float, typer.Option(min=0.01, max=100, help="Of turnover, what is income, per cent.")
    ] = 100.0,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of intervals.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """A campaign's uplift against its hold-out group, with an interval; income, cost and ROI.

    Example: `points kpi uplift spring --holdout-percent 10 --from 2026-03-01T00:00:00+03:00`
    """
    from analytics import uplift as estimate

    if sum(one is not None for one in (file, tag, percent)) != 1:
        raise typer.BadParameter(
            "name the hold-out group by one of --holdout-file, --holdout-tag, --holdout-percent"
        )
    with reading() as connection:
        asked = asked_for(connection, since, until)
        if file is not None:
            held = frozenset(file.read_text(encoding="utf-8").split())
        elif tag is not None:
            held = estimate.tagged(connection, tag)
        else:
            assert percent is not None
            held = frozenset(m for m in members(connection) if in_holdout(rule, m, percent))
        found = estimate.uplift(
            connection, rule, asked.since, asked.until, held, confidence, margin
        )
    if as_json:
        print_json(
            {"rule": rule, "from": moment_json(asked.since), "to": moment_json(asked.until)}
            | {
                name: one._asdict() if isinstance(one, estimate.Difference) else one
                for name, one in found._asdict().items()
            }
        )
        return
    for name, one in found._asdict().items():
        if isinstance(one, estimate.Difference):
            shown = f"{one.mean:,.2f}  ({confidence:.0%}: {one.low:,.2f} to {one.high:,.2f})"
        else:
            shown = "none" if one is None else f"{one:,}"
        unit = {"roi": " %", "per_member": " minor units", "income": " minor units"}.get(name, "")
        typer.echo(f"{name + unit:<24} {shown}")
    if found.holdout_points:
        typer.echo("the hold-out group got points of the rule: the uplift is understated", err=True)


def asked_for(
    connection: Any,
    since: str | None,
    until: str | None,
    grain: Grain = Grain.month,
    by: By = By.all,
    idle_days: int = IDLE_DAYS,
    until_option: str = "--to",
) -> Asked:
    end = from_instant(parse_moment(until, until_option))
    start = None if since is None else from_instant(parse_moment(since, "--from"))
    begin, end = kpis.period(connection, start, end)
    return Asked(begin, end, grain.value, by.value, idle_days)


def _show(
    figure: str, since: str | None, until: str | None, as_json: bool, as_csv: bool, **more: Any
) -> None:
    one_form(as_json, as_csv)
    with (
        reading() as connection,
        kpis.rows_of(connection, figure, asked_for(connection, since, until, **more)) as found,
    ):
        columns, rows = found
        if as_json:
            print_json_rows(columns, rows)
        else:
            _print(columns, rows, as_csv)


def _print(columns: Sequence[str], rows: Iterable[Sequence[Any]], as_csv: bool) -> None:
    if as_csv:
        print_csv(columns, rows)
        return
    widths = [max(WIDTH_MIN, len(name)) for name in columns]
    typer.echo("  ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    for row in rows:
        texts = (_text(one) for one in row)
        line = (f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))
        typer.echo("  ".join(line))


def _text(one: Any) -> str:
    if one is None:
        return "-"
    if isinstance(one, Decimal | float):
        return f"{one:.4f}"
    if isinstance(one, date | datetime):
        return one.isoformat()
    return str(one)


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="How the program does: the figures of docs/kpi.md.\n\n"
        "Example: `points kpi sales --grain month`",
    )
    commands: list[Callable[..., None]] = [
        sales, points, campaigns, retention, churn, referrals, rfm, value, holdout, uplift
    ]  # fmt: skip
    for command in commands:
        group.command()(command)
    app.add_typer(group, name="kpi")
