"""Why a rule gave nothing, and what capped an award, in words."""

from collections.abc import Callable, Mapping

from audit.explanation import CappedBy, Plain, Reason
from audit.texts import N_, Texts

PERIODS = {
    "order": N_("per order"),
    "day": N_("per day"),
    "iso_week": N_("per week"),
    "month": N_("per month"),
    "year": N_("per year"),
    "lifetime": N_("in all"),
}

CODE_STATUS = {
    "unknown": N_("no series has it"),
    "spent": N_("used up"),
    "expired": N_("its time is over"),
    "not_yet": N_("its time has not come"),
    "not_yours": N_("it belongs to another member"),
    "used_by_member": N_("the member has used it as often as anyone may"),
    "ok": N_("good for another rule"),
    "other": N_("asked for by another rule"),
}

_Said = Callable[[Texts, Reason], str]


def capped(texts: Texts, cap: CappedBy) -> str:
    """What made an award smaller."""
    unit, _, per = cap.by.partition("/")
    if per and unit in ("times", "points"):
        period = texts.say(PERIODS[per])
        if unit == "times":
            return texts.say("the limit of times {period} was used up", period=period)
        return texts.say(
            "the limit of points {period} had this left: {left}",
            period=period,
            left=texts.points(cap.left),
        )
    name, _, of = cap.by.partition(":")
    if name == "budget":
        return texts.say("budget {budget} had too little left", budget=of)
    return reason(texts, Reason(name, {}, {"by": of}))


def reason(texts: Texts, why: Reason) -> str:
    """Why a rule gave nothing, as the end of a sentence."""
    if why.code in _WITH_A_LIST:
        return _of_list(texts, why)
    return _SAID[why.code](texts, why)


def _texts(value: Plain) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _int(value: Plain) -> int | None:
    return value if isinstance(value, int) else None


_WITH_A_LIST: Mapping[str, tuple[str, str]] = {
    "store": (
        N_("it is for these stores: {asked}; this was store {actual}"),
        N_("it is for these stores: {asked}; no store was named"),
    ),
    "region": (
        N_("it is for these regions: {asked}; this was region {actual}"),
        N_("it is for these regions: {asked}; no region was named"),
    ),
    "channel": (
        N_("it is for these channels: {asked}; this was channel {actual}"),
        N_("it is for these channels: {asked}; no channel was named"),
    ),
    "partner": (
        N_("it is for purchases at these partners: {asked}; this was at partner {actual}"),
        N_("it is for purchases at these partners: {asked}; this was at no partner"),
    ),
    "payment_type": (
        N_("it is for payment by: {asked}; this was paid by {actual}"),
        N_("it is for payment by: {asked}; how this was paid was not said"),
    ),
    "tag": (
        N_("it is for members with one of these tags: {asked}; the member has: {actual}"),
        N_("it is for members with one of these tags: {asked}; the member has none of them"),
    ),
    "segment": (
        N_("it is for members of one of these segments: {asked}; the member is in: {actual}"),
        N_("it is for members of one of these segments: {asked}; the member is in none of them"),
    ),
    "lines_category": (
        N_("it is for lines of category: {asked}; there were only: {actual}"),
        N_("it is for lines of category: {asked}; no line has a category"),
    ),
    "lines_sku": (
        N_("it is for these articles: {asked}; there were only: {actual}"),
        N_("it is for these articles: {asked}; there were none"),
    ),
    "lines_brand": (
        N_("it is for these brands: {asked}; there were only: {actual}"),
        N_("it is for these brands: {asked}; no line has a brand"),
    ),
}
"""By code: said where there was something else, and where there was nothing."""


def _of_list(texts: Texts, why: Reason) -> str:
    other, nothing = _WITH_A_LIST[why.code]
    (asked,) = why.asked.values()
    (actual,) = why.actual.values()
    there = (actual,) if isinstance(actual, str) else _texts(actual)
    told = texts.both(_texts(asked))
    if not there:
        return texts.say(nothing, asked=told)
    return texts.say(other, asked=told, actual=texts.both(there))


def _validity(texts: Texts, why: Reason) -> str:
    start, end = why.asked["from"], why.asked["to"]
    since = texts.moment(start) if isinstance(start, str) else ""
    until = texts.moment(end) if isinstance(end, str) else ""
    if since and until:
        return texts.say("it holds from {since} until {until}", since=since, until=until)
    if since:
        return texts.say("it holds from {since} on", since=since)
    return texts.say("it held until {until}", until=until)


def _other_input(texts: Texts, why: Reason) -> str:
    on = _texts(why.asked["on"])
    if not on:
        return texts.say("it is for purchases")
    return texts.say("it is for these activities: {asked}", asked=texts.both(on))


def _tier(texts: Texts, why: Reason) -> str:
    return texts.say(
        "it is for tier {asked}; the tier was {actual}",
        asked=tier(texts, str(why.asked["tier"])),
        actual=tier(texts, str(why.actual["tier"])),
    )


def _tier_at_least(texts: Texts, why: Reason) -> str:
    return texts.say(
        "it is for tier {asked} or higher; the tier was {actual}",
        asked=tier(texts, str(why.asked["tier"])),
        actual=tier(texts, str(why.actual["tier"])),
    )


def tier(texts: Texts, name: str) -> str:
    """A tier's id; no tier is a word."""
    # Translators: the tier of a member who has none.
    return texts.say("none") if name == "none" else name


def _amount(texts: Texts, why: Reason) -> str:
    return _bounds(texts, why, texts.money, "purchase_amount", _AMOUNT)


def _balance(texts: Texts, why: Reason) -> str:
    return _bounds(texts, why, texts.points, "balance", _BALANCE)


_AMOUNT = (
    N_("it asks for a purchase of at least {least}; this was {actual}"),
    N_("it asks for a purchase of at most {most}; this was {actual}"),
    N_("it asks for a purchase of {least} to {most}; this was {actual}"),
)
_BALANCE = (
    N_("it asks for a balance of at least {least}; there was: {actual}"),
    N_("it asks for a balance of at most {most}; there was: {actual}"),
    N_("it asks for a balance of {least} to {most}; there was: {actual}"),
)
_LINES_AMOUNT = (
    N_("it is for lines of at least {least}; there were only: {actual}"),
    N_("it is for lines of at most {most}; there were only: {actual}"),
    N_("it is for lines of {least} to {most}; there were only: {actual}"),
)


def _bounds(
    texts: Texts, why: Reason, told: Callable[[int], str], key: str, said: tuple[str, str, str]
) -> str:
    least, most = _int(why.asked.get("at_least")), _int(why.asked.get("at_most"))
    actual = told(_int(why.actual[key]) or 0)
    return _within(texts, said, told, least, most, actual)


def _within(
    texts: Texts,
    said: tuple[str, str, str],
    told: Callable[[int], str],
    least: int | None,
    most: int | None,
    actual: str,
) -> str:
    if least is None:
        return texts.say(said[1], most=told(most or 0), actual=actual)
    if most is None:
        return texts.say(said[0], least=told(least), actual=actual)
    return texts.say(said[2], least=told(least), most=told(most), actual=actual)


def _lines_amount(texts: Texts, why: Reason) -> str:
    least, most = _int(why.asked.get("at_least")), _int(why.asked.get("at_most"))
    actual = texts.both(texts.money(int(each)) for each in _texts(why.actual["amount"]))
    return _within(texts, _LINES_AMOUNT, texts.money, least, most, actual)


def _lines(texts: Texts, _why: Reason) -> str:
    return texts.say("no line is all that it asks for")


def _nth(texts: Texts, why: Reason) -> str:
    number = texts.number(_int(why.actual["nth_purchase"]) or 0)
    exact, every = _int(why.asked.get("is")), _int(why.asked.get("every"))
    if exact is not None:
        return texts.say(
            "it is for purchase number {asked}; this was number {actual}",
            asked=texts.number(exact),
            actual=number,
        )
    return texts.say(
        "it is for purchases whose number is a multiple of {asked}; this was number {actual}",
        asked=texts.number(every or 1),
        actual=number,
    )


def _promo_code(texts: Texts, why: Reason) -> str:
    asked, named = texts.either(_texts(why.asked["promo_code"])), _texts(why.actual["promo_code"])
    if not named:
        return texts.say("it asks for promo code {asked}; none was named", asked=asked)
    told = []
    for each in named:
        code, _, status = each.rpartition("=")
        told.append(f"{code} ({texts.say(CODE_STATUS[status])})")
    return texts.say(
        "it asks for promo code {asked}; named: {actual}", asked=asked, actual=texts.both(told)
    )


def _birthday(texts: Texts, why: Reason) -> str:
    before, after = _int(why.asked.get("days_before")) or 0, _int(why.asked.get("days_after")) or 0
    if not before and not after:
        return texts.say("it is for the birthday; this was another day, or no birthday is known")
    return texts.say(
        "it is for the days around the birthday (days before: {before}, after: {after});"
        " this was another day, or no birthday is known",
        before=texts.number(before),
        after=texts.number(after),
    )


def _weekday(texts: Texts, why: Reason) -> str:
    return texts.say(
        "it is for these days: {asked}; this was: {actual}",
        asked=texts.both(map(texts.weekday, _texts(why.asked["weekday"]))),
        actual=texts.weekday(str(why.actual["weekday"])),
    )


def _hours(texts: Texts, why: Reason) -> str:
    return texts.say(
        "it is for the hours from {start} to {end}; this was at {actual}",
        start=why.asked["from"],
        end=why.asked["to"],
        actual=why.actual["hours"],
    )


def _expression(texts: Texts, why: Reason) -> str:
    actual = texts.both(f"{name} = {_shown(value)}" for name, value in why.actual.items())
    (asked,) = _texts(why.asked["expression"])
    return texts.say(
        "its condition did not hold: {asked}; there was: {actual}", asked=asked, actual=actual
    )


def _shown(value: Plain) -> str:
    if value is None:
        return "-"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _base_award(texts: Texts, why: Reason) -> str:
    if why.actual["points"]:
        return texts.say(
            "it multiplies the award of rule {rule}, which is too small to give another point here",
            rule=why.asked["of"],
        )
    return texts.say(
        "it multiplies the award of rule {rule}, which gave nothing", rule=why.asked["of"]
    )


def _too_little(texts: Texts, why: Reason) -> str:
    least, amount = _int(why.asked["at_least"]), texts.money(_int(why.actual["amount"]) or 0)
    if least is None:
        return texts.say("it gives nothing for {actual}", actual=amount)
    return texts.say(
        "its points begin at {least}; this was {actual}", least=texts.money(least), actual=amount
    )


def _limit(texts: Texts, why: Reason) -> str:
    period, most = texts.say(PERIODS[str(why.asked["per"])]), _int(why.asked["most"]) or 0
    if why.asked["unit"] == "points":
        return texts.say(
            "its limit is used up: {most} {period}", most=texts.points(most), period=period
        )
    times = texts.count("{n} time", "{n} times", most)
    return texts.say("its limit is used up: {most} {period}", most=times, period=period)


def _budget(texts: Texts, why: Reason) -> str:
    need, left = _int(why.asked["need"]) or 0, _int(why.actual["left"]) or 0
    return texts.say(
        "its budget {budget} over all members has too little left: {left}, and it takes {need}",
        budget=why.asked["budget"],
        left=texts.number(left),
        need=texts.number(need),
    )


def _group(texts: Texts, why: Reason) -> str:
    return texts.say("of group {group} only the largest award counts", group=why.actual["by"])


def _exclusive(texts: Texts, why: Reason) -> str:
    return texts.say("rule {rule} excludes the rules after it", rule=why.actual["by"])


def _multiplier_of(texts: Texts, why: Reason) -> str:
    return texts.say("rule {rule}, which it multiplies, does not count", rule=why.actual["by"])


_SAID: Mapping[str, _Said] = {
    "validity": _validity,
    "other_input": _other_input,
    "tier": _tier,
    "tier_at_least": _tier_at_least,
    "purchase_amount": _amount,
    "balance": _balance,
    "nth_purchase": _nth,
    "promo_code": _promo_code,
    "birthday": _birthday,
    "weekday": _weekday,
    "hours": _hours,
    "expression": _expression,
    "lines_amount": _lines_amount,
    "lines": _lines,
    "base_award": _base_award,
    "too_little": _too_little,
    "limit": _limit,
    "budget": _budget,
    "best_of_group": _group,
    "exclusive": _exclusive,
    "multiplier_of": _multiplier_of,
}
"""How each other reason is said."""
