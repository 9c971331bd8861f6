"""Whole programs at random: every kind of rule that the engine obeys, with short periods, so that a
history of a few weeks sees them end.
"""

import json
from typing import Any

from hypothesis import strategies as st

from tests.core.histories import LEVELS, RETURNS

Document = dict[str, Any]

ACTIVATIONS = (
    *("immediately", "immediately", "immediately", {"after": "P3D"}, {"after": "PT40H"}),
    {"on": "review", "within": "P3D"},
    {"on": "purchase.completed.v1", "within": "PT40H"},
)
EXPIRIES = (
    *({"after": "P2D"}, {"after": "P9D"}, {"after": "P1M"}),
    *({"end_of": "month", "after": "P10D"}, "never"),
    *({"after_inactivity": "P4D"}, {"after_inactivity": "P12D"}),
)

CHANNELS = ("store", "web", "app")
REGIONS = ("north", "south", None)
PARTNERS = ("wash", "tyres", None)
STORES = ("s1", "s2")
CODES = ("SPRING", "AUTUMN")
SERIES = ("word", "letters")
SEGMENTS = ("sleeping", "big")
BUDGETS = ("small", "few")
REWARDS = ("pin", "cup", "film")
CATEGORIES = ("PRODUCE", "MEAT", None)
BRANDS = ("Own", None)
PAYMENTS = ("card", None)

ACTIVITY_CONDITIONS = ("store", "weekday", "hours", "balance", "tag", "birthday", "segment")

OTHER_GROUP = {"best_of_group": "h"}
PERIODS = ("order", "day", "iso_week", "month", "year", "lifetime")
WINDOWS = ("calendar_month", "calendar_quarter", "calendar_year", "lifetime")
ZONES = ("UTC", "Europe/Berlin", "America/New_York")

_points = st.one_of(st.integers(1, 40), st.integers(1, 3))
_some = st.lists


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), strategy)


def _without_none(document: Document) -> Document:
    return {key: value for key, value in document.items() if value is not None}


ranges = st.one_of(
    st.builds(lambda low: {"at_least": low}, st.integers(0, 2_000)),
    st.builds(lambda high: {"at_most": high}, st.integers(0, 2_000)),
    st.builds(
        lambda low, more: {"at_least": low, "at_most": low + more},
        st.integers(0, 1_000),
        st.integers(0, 2_000),
    ),
)
budgets = st.sampled_from([None, None, None, None, *BUDGETS])
nth = st.one_of(
    st.builds(lambda n: {"is": n}, st.integers(1, 5)),
    st.builds(lambda n: {"every": n}, st.integers(1, 4)),
)
hours = st.sampled_from([{"from": "08:00", "to": "20:30"}, {"from": "22:00", "to": "06:00"}])
places = {
    "store": st.sampled_from(STORES),
    "region": st.sampled_from([r for r in REGIONS if r]),
    "channel": st.sampled_from(CHANNELS),
    "partner": st.sampled_from([p for p in PARTNERS if p]),
}
conditions: dict[str, st.SearchStrategy[Any]] = {
    "purchase_amount": ranges,
    **places,
    "payment_type": st.just("card"),
    "weekday": st.sampled_from([["mon", "wed", "fri"], ["sat", "sun"]]),
    "hours": hours,
    "nth_purchase": nth,
    "promo_code": st.sampled_from([*CODES, list(CODES), *SERIES, list(SERIES), ["word", "AUTUMN"]]),
    "segment": st.sampled_from([*SEGMENTS, list(SEGMENTS)]),
    "balance": ranges,
    "tag": st.sampled_from(["vip", ["vip", "staff"]]),
    "birthday": st.sampled_from([{"days_before": 3, "days_after": 3}, {"days_after": 30}]),
}
tier_conditions: dict[str, st.SearchStrategy[Any]] = {
    "tier": st.sampled_from(["none", "silver", "gold"]),
    "tier_at_least": st.sampled_from(["silver", "gold"]),
}


@st.composite
def whens(draw: st.DrawFn, *, tiers: bool) -> Document:
    """A few typed conditions, often none."""
    known = {**conditions, **(tier_conditions if tiers else {})}
    keys = draw(_some(st.sampled_from(sorted(known)), max_size=2, unique=True))
    if draw(st.sampled_from([False, False, False, False, True])):
        keys = ["promo_code"]  # or hardly a code would ever be used
    return {key: draw(known[key]) for key in keys}


@st.composite
def lines(draw: st.DrawFn) -> Document | None:
    """Which lines, or all of them."""
    return draw(
        st.sampled_from(
            [
                *(None, None, None),
                {"category": ["PRODUCE", "MEAT"]},
                {"category": "PRODUCE"},
                {"brand": "Own"},
                {"sku": ["x1", "x2"]},
                {"amount": {"at_least": 300}},
            ]
        )
    )


@st.composite
def awards(draw: st.DrawFn, earlier: list[str]) -> Document:
    """One award; a multiplier only of an earlier rule."""
    kinds = ["rate", "fixed", "table"] + (["multiplier"] * 2 if earlier else [])
    return draw(award_of(draw(st.sampled_from(kinds)), earlier))


@st.composite
def award_of(draw: st.DrawFn, kind: str, earlier: list[str]) -> Document:
    """An award of this kind."""
    if kind == "rate":
        rate = {"points": draw(st.integers(1, 7)), "per_amount": draw(st.integers(50, 400))}
        return {"rate": rate}
    if kind == "fixed":
        return {"fixed": draw(_points)}
    if kind == "table":
        starts = sorted(draw(_some(st.integers(0, 3_000), min_size=1, max_size=3, unique=True)))
        return {"table": [{"at_least": low, "points": draw(st.integers(0, 40))} for low in starts]}
    by = draw(st.sampled_from(["1", "1.2", "1.5", "2", "3.333333333"]))
    return {"multiplier": {"of": draw(st.sampled_from(earlier)), "by": by}}


@st.composite
def limits(draw: st.DrawFn) -> list[Document]:
    """No limit, or one, or two."""
    kinds = st.one_of(
        st.builds(lambda n: {"points": n}, st.integers(1, 30)),
        st.builds(lambda n: {"times": n}, st.integers(1, 3)),
    )
    periods = draw(_some(st.sampled_from(PERIODS), max_size=2, unique=True))
    return [{**draw(kinds), "per": period} for period in periods]


@st.composite
def rules(draw: st.DrawFn, name: str, earlier: list[str], *, tiers: bool) -> Document:
    """One earn rule."""
    group = {"best_of_group": "g"}
    stacking = draw(st.sampled_from(["add", "add", "add", "exclusive", group, group, OTHER_GROUP]))
    award = draw(awards(earlier))
    if stacking in (group, OTHER_GROUP) and draw(st.booleans()):
        award = {"fixed": draw(st.sampled_from([5, 5, 6]))}  # or it would hardly be close
    (kind,) = award
    overrides = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        where = draw(st.sampled_from(sorted(places)))
        other = draw(award_of(kind, earlier))
        if kind == "multiplier":
            other["multiplier"]["of"] = award["multiplier"]["of"]
        overrides.append({"award": other, where: draw(places[where])})
    start = draw(_maybe(st.sampled_from(["2017-01-05T00:00:00Z", "2017-02-01T12:00:00Z"])))
    return _without_none(
        {
            "id": name,
            "award": award,
            "when": draw(whens(tiers=tiers)) or None,
            "lines": draw(lines()),
            "stacking": stacking,
            "limits": draw(limits()),
            "valid": None if start is None else {"from": start, "to": "2017-03-10T00:00:00Z"},
            "activation": draw(_maybe(st.sampled_from(ACTIVATIONS))),
            "expiry": draw(_maybe(st.sampled_from(EXPIRIES))),
            "counts_for_tier": draw(st.booleans()),
            "overrides": overrides,
            "rounding": draw(_maybe(st.sampled_from(["floor", "half_even", "ceil"]))),
            "budget": draw(budgets),
        }
    )


@st.composite
def activity_rules(draw: st.DrawFn, *, tiers: bool) -> list[Document]:
    """Rules on a review, and perhaps one that multiplies them."""
    known = {key: conditions[key] for key in ACTIVITY_CONDITIONS}
    known |= tier_conditions if tiers else {}
    found: list[Document] = []
    for n in range(draw(st.integers(0, 3))):
        award: Document = {"fixed": draw(_points)}
        again: bool = draw(st.booleans())
        if found and again:
            award = {"multiplier": {"of": found[0]["id"], "by": draw(st.sampled_from(["1.5", 2]))}}
        keys = draw(_some(st.sampled_from(sorted(known)), max_size=1))
        stacking = ("add", "add", "exclusive", {"best_of_group": "g"})
        found.append(
            _without_none(
                {
                    "id": f"a{n}",
                    "on": {"activity": "review"},
                    "award": award,
                    "when": {key: draw(known[key]) for key in keys} or None,
                    "limits": [x for x in draw(limits()) if x["per"] != "order"],
                    "stacking": draw(st.sampled_from(stacking)),
                    "activation": draw(_maybe(st.sampled_from(ACTIVATIONS))),
                    "expiry": draw(_maybe(st.sampled_from(EXPIRIES))),
                    "counts_for_tier": draw(st.booleans()),
                    "budget": draw(budgets),
                }
            )
        )
    return found


@st.composite
def tiers_of(draw: st.DrawFn, *, late: bool) -> Document:
    """Silver and gold, so low that a history reaches both. Where inputs are late nobody is welcomed
    and no rolling tier falls by levels: the model does not keep what was held."""
    measure = draw(st.sampled_from(sorted(LEVELS)))
    silver, gold = LEVELS[measure]
    rolling = draw(_maybe(st.sampled_from(["P5D", "P14D", "P1M"])))
    ways = ["to_qualified"] if rolling and late else ["to_qualified", "one_down"]
    to = draw(st.sampled_from(ways))
    graces = ["P3D", "P10D"] if rolling else ["P3D", "P10D", "PT30H"]
    grace = st.sampled_from(graces)
    window = {"rolling": rolling} if rolling else {"window": draw(st.sampled_from(WINDOWS))}
    levels: list[Document] = [
        {"id": "silver", "at_least": silver},
        {"id": "gold", "at_least": gold},
    ]
    for level in levels:
        welcome = None if late else draw(_maybe(_points))
        if welcome:
            level["welcome"] = welcome
    must = rolling and to == "one_down"
    return {
        "qualify_by": {measure: window},
        "levels": levels,
        "downgrade": _without_none({"to": to, "grace": draw(grace if must else _maybe(grace))}),
    }


@st.composite
def referrals(draw: st.DrawFn) -> Document:
    """Rewards for one or both."""
    kind = draw(st.sampled_from(["first_purchase", "purchase"]))
    qualifies = {"at_least": draw(st.sampled_from([0, 500, 1_500]))}
    within = draw(_maybe(st.sampled_from(["P2D", "P20D"])))
    share = {"rate": {"points": 5, "per_amount": 100}, "orders": draw(st.integers(1, 3))}
    referrer = _without_none(
        {"fixed": draw(_maybe(_points)), "share": draw(_maybe(st.just(share)))}
    )
    rewards: Document = {"referrer": referrer} if referrer else {}
    if not rewards or draw(st.booleans()):
        rewards["referee"] = {"fixed": draw(_points)}
    most = draw(_maybe(st.sampled_from([{"times": 1}, {"times": 2, "per": "month"}])))
    return _without_none(
        {
            "qualifies": {kind: _without_none({**qualifies, "within": within})},
            **rewards,
            "per_referrer": most if referrer else None,
        }
    )


@st.composite
def whole_programs(draw: st.DrawFn, *, late: bool) -> Document:
    """A program. `late`: inputs may be late, so no rule may ask for the tier."""
    names: list[str] = []
    earn = []
    for n in range(draw(st.integers(1, 5))):
        earn.append(draw(rules(f"r{n}", names, tiers=not late)))
        names.append(f"r{n}")
    if draw(st.sampled_from([True, False, False])):
        earn += draw(close_calls())
    earn += draw(activity_rules(tiers=not late))
    return _without_none(
        {
            "program": "machine",
            "currency": "RUB",
            "time_zone": draw(st.sampled_from(ZONES)),
            "effective_from": "2017-01-01T00:00:00Z",
            "point_value": draw(st.sampled_from([1, 1, 7])),
            "rounding": draw(st.sampled_from(["floor", "half_even", "ceil"])),
            "activation": draw(st.sampled_from(ACTIVATIONS)),
            "expiry": draw(st.sampled_from(EXPIRIES)),
            "earn": earn,
            # Who asks for a tier must have one.
            "tiers": draw(tiers_of(late=late)),
            "surveys": draw(surveys()),
            "closing": draw(_maybe(st.sampled_from([{"notice": "P1D"}, {"notice": "P10D"}]))),
            "referral": draw(st.one_of(referrals(), referrals(), st.none())),
            "segments": [{"id": name, "when": {"frequency": {"at_least": 1}}} for name in SEGMENTS],
            "budgets": [
                {"id": "small", "points": draw(st.integers(1, 90))},
                {"id": "few", "times": draw(st.integers(1, 4))},
            ],
            "promo_codes": draw(promo_codes()),
            **draw(spending()),
        }
    )


@st.composite
def close_calls(draw: st.DrawFn) -> list[Document]:
    """Two rules of one group that always fire, of which one is worth a point more, or none."""
    worth = draw(st.sampled_from([(5, 5), (5, 6), (6, 5)]))
    return [
        {
            "id": f"g{n}",
            "award": {"fixed": points},
            "stacking": OTHER_GROUP,
            "activation": ACTIVATIONS[n],
            "expiry": EXPIRIES[n],
            "counts_for_tier": bool(n),
        }
        for n, points in zip((0, 3), worth, strict=True)
    ]


@st.composite
def spending(draw: st.DrawFn) -> Document:
    """What points are good for, and what a return takes back."""
    redemption = {
        "minimum": draw(st.sampled_from([0, 0, 2, 10])),
        "step": draw(st.sampled_from([1, 1, 5])),
        "reservation_ttl": draw(st.sampled_from(["PT6H", "P4D"])),
        "restore_grace": draw(st.sampled_from(["P0D", "P2D", "P5D"])),
        "per_day": draw(st.sampled_from([None, None, 40])),
        "maximum_share": draw(_maybe(st.sampled_from([{"percent": 1}, {"percent": 50}]))),
        "excluded_categories": draw(st.sampled_from([None, None, None, "MEAT"])),
    }
    stock = st.integers(0, 2)
    price = st.sampled_from([1, 4, 9])
    return {
        "transfers": draw(st.one_of(transfers(), transfers(), st.none())),
        "returns": {
            **draw(st.sampled_from(RETURNS)),
            "window": draw(st.sampled_from(["P7D", "P1M", "P3M"])),
        },
        "redemption": _without_none(redemption),
        "charities": [{"id": "c"}, {"id": "d", "valid": {"from": "2017-01-20T00:00:00Z"}}],
        "rewards": [
            {"id": "pin", "points": draw(price), "kind": "gift"},
            {"id": "cup", "points": draw(price), "kind": "gift", "stock": draw(stock)},
            _without_none(
                {
                    "id": "film",
                    "points": draw(price),
                    "kind": "voucher",
                    "stock": draw(_maybe(stock)),
                }
            ),
        ],
    }


@st.composite
def promo_codes(draw: st.DrawFn) -> list[Document]:
    """A word, and letters with a code each."""
    few = _maybe(st.integers(1, 2))
    valid = _maybe(st.just({"from": "2017-01-06T00:00:00Z", "to": "2017-02-10T00:00:00Z"}))
    word = {"id": "word", "code": "Go now", "uses": draw(st.one_of(few, st.integers(1, 3)))}
    return [
        _without_none({**one, "per_member": draw(few), "valid": draw(valid)})
        for one in (word, {"id": "letters"})
    ]


@st.composite
def next_version(draw: st.DrawFn, first: Document, *, late: bool) -> Document:
    """The same program, later: other numbers, other terms, one rule more. What a tier is measured
    by, and the period, stay."""
    program: Document = json.loads(json.dumps(first))
    program["effective_from"] = draw(
        st.sampled_from(["2017-01-06T00:00:00Z", "2017-01-10T13:00:00Z", "2017-02-01T00:00:00Z"])
    )
    program |= _without_none(draw(spending()))
    names = []
    for rule in program["earn"]:
        (kind,) = rule["award"]
        if kind in ("rate", "fixed") and draw(st.booleans()):
            rule["award"] = draw(award_of(kind, []))
            rule.pop("overrides", None)
        if draw(st.booleans()):
            rule["limits"] = [x for x in draw(limits()) if x["per"] != "order"]
        if "on" not in rule:
            names.append(rule["id"])
    program["earn"].append(draw(rules("n0", names, tiers=not late)))
    program["activation"] = draw(st.sampled_from(ACTIVATIONS))
    program["expiry"] = draw(st.sampled_from(EXPIRIES))
    program["surveys"] = draw(surveys())
    if not late and draw(st.booleans()):
        for level in program["tiers"]["levels"]:
            level["at_least"] *= 2
    if draw(st.booleans()):
        program.pop("referral", None)
    program["promo_codes"] = draw(promo_codes())
    return program


@st.composite
def transfers(draw: st.DrawFn) -> Document:
    """Members may give points to each other, within limits."""
    return _without_none(
        {
            "minimum": draw(st.sampled_from([0, 2])),
            "at_most": draw(_maybe(st.just(20))),
            "per_day": draw(_maybe(st.just(12))),
            "per_month": draw(_maybe(st.just(20))),
        }
    )


@st.composite
def surveys(draw: st.DrawFn) -> list[Document]:
    """Two surveys; one of them perhaps open for a while only."""
    valid = {"from": "2017-01-08T00:00:00Z", "to": "2017-02-08T00:00:00Z"}
    return [
        _without_none(
            {
                "id": "s",
                "award": {"fixed": draw(_points)},
                "activation": draw(st.sampled_from(["immediately", "immediately", *ACTIVATIONS])),
                "budget": draw(budgets),
            }
        ),
        _without_none(
            {
                "id": "t",
                "award": {"fixed": draw(_points)},
                "valid": draw(_maybe(st.just(valid))),
                "counts_for_tier": draw(st.booleans()),
            }
        ),
    ]
