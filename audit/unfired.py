"""Why a rule gave nothing: the first condition that failed, with what it asked and what there was.

The rules are those of the version that judged; the account is that of the moment, folded up to the
event before; what was known from outside stands on the event itself. Each condition of a `when` is
compiled alone by the engine's own compiler and asked in the engine's own order, so that an
explanation cannot disagree with a decision.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct

from audit.explanation import Plain, Reason, RuleOutcome
from ledger.core.account import Account
from ledger.core.calendar import INSTANT_MAX, INSTANT_MIN, format_instant, local
from ledger.core.program import form as forms
from ledger.core.program.compiled import Compiled
from ledger.core.program.conditions import (
    NO_PURCHASE,
    WEEKDAYS,
    Condition,
    Scene,
    compile_lines,
    compile_tiers,
    compile_when,
)
from ledger.core.program.rule import Numbers, Rule
from schemas.decisions import ActivityRewarded, Award, Facts, PurchaseRewarded
from schemas.inputs import PurchaseLine

ORDER = (
    "purchase_amount",
    "balance",
    "nth_purchase",
    "store",
    "region",
    "channel",
    "partner",
    "payment_type",
    "promo_code",
    "tag",
    "segment",
    "birthday",
    "weekday",
    "hours",
    "expression",
)
"""The conditions of a `when` after those on the tier, in the order in which they are asked."""

PROGRAMS_KEPT = 64
"""Program versions whose conditions stay taken apart; some kB a rule."""

EARNED = frozenset(("rate", "fixed", "table", "multiplier"))
"""The kinds of award that earn rules give; others stand beside them on an event."""

NO_FACTS = Facts()

Judging = PurchaseRewarded | ActivityRewarded


class Part(Struct, frozen=True):
    """One condition of a rule. `asked`: its value in the program."""

    code: str
    asked: dict[str, Plain]
    conditions: tuple[Condition, ...]


def outcomes(program: Compiled, event: Judging, before: Account) -> tuple[RuleOutcome, ...]:
    """What every earn rule came to, in the program's order. `before`: the account to which `event`
    happened, without it."""
    awards = {award.rule: award for award in event.awards if award.kind in EARNED}
    scene = scene_of(event, before)
    found = []
    for place, rule in enumerate(program.rules):
        award = awards.get(rule.id)
        if award is not None and award.points:
            found.append(RuleOutcome(rule.id, award.points))
        elif award is not None:
            found.append(RuleOutcome(rule.id, 0, _taken(program, place, event, before, award)))
        else:
            found.append(RuleOutcome(rule.id, 0, _why_not(program, place, scene, awards)))
    return tuple(found)


def scene_of(event: Judging, before: Account) -> Scene:
    """What the conditions looked at."""
    held, facts = before.holdings, event.facts or NO_FACTS
    balance = held.available - held.debt
    if isinstance(event, ActivityRewarded):
        return Scene(NO_PURCHASE, 0, event.occurred_at, event.tier, balance, before.purchases,
                     facts, event.activity)  # fmt: skip
    amount = sum(line.amount for line in event.purchase.lines)
    codes = frozenset(fact.series for fact in facts.codes if fact.status == "ok")
    return Scene(event.purchase, amount, event.occurred_at, event.tier, balance, before.purchases,
                 facts, None, codes)  # fmt: skip


# --- a rule whose award was taken away --------------------------------------------------------


def _taken(program: Compiled, place: int, event: Judging, before: Account, award: Award) -> Reason:
    cap, rule = award.capped[-1], program.rules[place]
    name, _, of = cap.by.partition(":")
    if of:
        if name == "budget":
            budget = program.budgets[of]
            # What the limits before it had left of its value.
            need = budget.need(min([award.value, *(each.left for each in award.capped[:-1])]))
            asked: dict[str, Plain] = {"budget": of, "unit": budget.unit, "need": need}
            return Reason("budget", asked, {"left": cap.left})
        return Reason(name, {"value": award.value}, {"by": of})
    unit, _, per = cap.by.partition("/")
    for limit, key in zip(
        rule.limits, program.stretch(event.occurred_at).counters(place), strict=True
    ):
        most = limit.points if unit == "points" else limit.times
        if limit.per == per and most is not None:
            used = (0, 0) if key is None else before.used.get(key, (0, 0))
            return Reason(
                "limit",
                {"unit": unit, "per": per, "most": most},
                {"used": used[0] if unit == "points" else used[1]},
            )
    raise AssertionError(f"rule {rule.id} has no limit {cap.by}")


# --- a rule that did not fire -----------------------------------------------------------------


def _why_not(program: Compiled, place: int, scene: Scene, awards: Mapping[str, Award]) -> Reason:
    rule, of_program = program.rules[place], program.form.earn[place]
    activity = None if scene.activity is None else scene.activity.activity
    if (rule.activities is None) != (activity is None) or (
        activity is not None and rule.activities is not None and activity not in rule.activities
    ):
        on = () if rule.activities is None else tuple(sorted(rule.activities))
        return Reason("other_input", {"on": on}, {"activity": activity})
    if not rule.start <= scene.at < rule.end:
        valid: dict[str, Plain] = {
            "from": None if rule.start <= INSTANT_MIN else format_instant(rule.start),
            "to": None if rule.end > INSTANT_MAX else format_instant(rule.end),
        }
        return Reason("validity", valid, {"at": format_instant(scene.at)})
    when = of_program.when if isinstance(of_program.when, forms.When) else forms.When()
    for code in ("tier", "tier_at_least"):
        asked = getattr(when, code)
        if asked is not None:
            (condition,) = compile_tiers(forms.When(**{code: asked}), program.ranks)
            if not condition(scene.tier):
                return Reason(code, {"tier": asked}, {"tier": scene.tier})
    for part in _parts(program)[place]:
        if not all(condition(scene) for condition in part.conditions):
            return Reason(part.code, part.asked, _actual(part, scene, rule, program))
    return _no_value(program, place, scene, awards)


@lru_cache(maxsize=PROGRAMS_KEPT)
def _parts(program: Compiled) -> tuple[tuple[Part, ...], ...]:
    """The conditions of each rule, one by one."""
    return tuple(
        tuple(_parts_of(program, rule, of_program))
        for rule, of_program in zip(program.rules, program.form.earn, strict=True)
    )


def _parts_of(program: Compiled, rule: Rule, of_program: forms.EarnRule) -> Iterator[Part]:
    when = of_program.when
    if isinstance(when, str):
        when = forms.When(expression=when)
    if when is None:
        return
    series = program.series.keys()
    for code in ORDER:
        value = getattr(when, code)
        if value is None:
            continue
        compiled = compile_when(
            rule.id,
            forms.When(**{code: value}),
            program.zone,
            rule.expression if code == "expression" else None,
            series,
            of_activity=rule.activities is not None,
        )
        yield Part(code, plain(code, value), compiled)


def plain(name: str, value: object) -> dict[str, Plain]:
    """A part of a program as an explanation tells it."""
    if isinstance(value, Struct):
        built = msgspec.to_builtins(value)
        return {key: tuple(each) if isinstance(each, list) else each for key, each in built.items()}
    if isinstance(value, tuple):
        return {name: value}
    assert isinstance(value, str), f"{name} is neither a block nor a text nor texts"
    return {name: (value,)}


def _actual(part: Part, scene: Scene, rule: Rule, program: Compiled) -> dict[str, Plain]:
    """What there was of what a condition looked at."""
    bought, facts = scene.purchase, scene.facts
    clock = local(scene.at, program.zone)
    match part.code:
        case "purchase_amount":
            return {"purchase_amount": scene.amount}
        case "balance":
            return {"balance": scene.balance}
        case "nth_purchase":
            return {"nth_purchase": scene.purchases_before + 1}
        case "store":
            of = bought if scene.activity is None else scene.activity
            return {"store": of.store_id}
        case "region" | "channel" | "payment_type":
            return {part.code: getattr(bought, part.code)}
        case "partner":
            return {"partner": bought.partner_id}
        case "promo_code":
            return {"promo_code": codes_named(scene)}
        case "tag":
            return {"tag": facts.tags or ()}
        case "segment":
            return {"segment": facts.segments or ()}
        case "birthday":
            return {"birthday": facts.birthdays or ()}
        case "weekday":
            return {"weekday": WEEKDAYS[clock.weekday()]}
        case "hours":
            return {"hours": f"{clock:%H:%M}"}
        case _:
            return _fields(scene, rule)


MASKED = "…"


def codes_named(scene: Scene) -> tuple[str, ...]:
    """The promo codes named, each `CODE=STATUS`. One that is still good is masked: whoever reads
    this must not learn it."""
    status = {fact.place: fact.status for fact in scene.facts.codes}
    return tuple(
        f"{code[:2]}{MASKED}=ok"
        if status.get(place) == "ok"
        else f"{code}={status.get(place, 'other')}"
        for place, code in enumerate(scene.purchase.promo_codes)
    )


def _fields(scene: Scene, rule: Rule) -> dict[str, Plain]:
    """What an expression looked at; of lines only how many there were."""
    found: dict[str, Plain] = {}
    assert rule.expression is not None, "only an expression is asked last"
    for name in sorted(rule.expression.purchase_fields):
        if name == "amount":
            found["purchase.amount"] = scene.amount
        elif name == "lines":
            found["purchase.lines"] = len(scene.purchase.lines)
        else:
            found[f"purchase.{name}"] = getattr(scene.purchase, name)
    of_account: dict[str, Plain] = {
        "tier": scene.tier,
        "balance": scene.balance,
        "purchases": scene.purchases_before,
    }
    return found | {f"account.{n}": of_account[n] for n in sorted(rule.expression.account_fields)}


# --- a rule that held and came to nothing -----------------------------------------------------


def _no_value(program: Compiled, place: int, scene: Scene, awards: Mapping[str, Award]) -> Reason:
    rule, of_program = program.rules[place], program.form.earn[place]
    lines = scene.purchase.lines
    matched: Sequence[int] = range(len(lines)) if rule.match is None else rule.match(lines)
    if not matched and scene.activity is None:
        assert of_program.lines is not None, "a rule without lines matches all"
        return _no_lines(of_program.lines, lines)
    numbers = rule.numbers
    for variant in rule.variants:
        if all(condition(scene) for condition in variant.conditions):
            numbers = variant.numbers
            break
    if numbers.of >= 0:
        of = program.rules[numbers.of].id
        base = awards.get(of)
        return Reason("base_award", {"of": of}, {"points": 0 if base is None else base.points})
    amount = sum(lines[i].amount for i in matched)
    if numbers.worth(amount) > 0:
        raise AssertionError(f"rule {rule.id} fires and has no award")
    return Reason("too_little", {"at_least": _least(numbers, amount)}, {"amount": amount})


def _no_lines(asked: forms.Lines, lines: Sequence[PurchaseLine]) -> Reason:
    """The first thing asked of lines that none has; all of it, where no one line has all."""
    for key in ("category", "sku", "brand", "amount"):
        value = getattr(asked, key)
        if value is None:
            continue
        match = compile_lines(forms.Lines(**{key: value}))
        if match is not None and not match(lines):
            there = dict.fromkeys(getattr(line, key) for line in lines)
            told = tuple(str(each) for each in there if each is not None)
            return Reason(f"lines_{key}", plain(key, value), {key: told})
    together = {
        f"lines_{key}": str(msgspec.to_builtins(value))
        for key in ("category", "sku", "brand", "amount")
        if (value := getattr(asked, key)) is not None
    }
    return Reason("lines", dict(together), {"lines": len(lines)})


AMOUNT_MAX = 10**15
"""Above every amount of a purchase, minor units."""


def _least(numbers: Numbers, amount: int) -> int | None:
    """The smallest amount above `amount` that gives a point, minor units; None: there is none."""
    if numbers.worth(AMOUNT_MAX) <= 0:
        return None
    low, high = amount, AMOUNT_MAX  # worth(low) is 0, worth(high) is not; it never falls to 0 again
    while high - low > 1:
        middle = (low + high) // 2
        if numbers.worth(middle) > 0:
            high = middle
        else:
            low = middle
    return high
