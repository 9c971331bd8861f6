"""What holds for every program and purchase: exact allocation, caps, order, repeatability."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.calendar import parse_instant
from ledger.core.program.compiled import Compiled
from ledger.core.rules import Standing, allocate, evaluate
from schemas.decisions import NO_LOT, Award
from schemas.inputs import PurchaseData
from tests.core.program_texts import program_of, purchase_of

AT = parse_instant("2026-06-01T12:00:00Z")


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_shares_sum_up_and_are_next_to_exact(points: int, amounts: list[int]) -> None:
    shares = allocate(points, amounts)
    total = sum(amounts)
    assert sum(shares) == points
    if total:
        exact = [Fraction(points * amount, total) for amount in amounts]
        assert all(abs(share - e) < 1 for share, e in zip(shares, exact, strict=True))
        # No line that got less than its exact share has a larger remainder than one that got more.
        short = [e - s for s, e in zip(shares, exact, strict=True) if s < e]
        raised = [e - (s - 1) for s, e in zip(shares, exact, strict=True) if s > e]
        assert not short or not raised or max(short) <= min(raised)


CATEGORIES = ("A", "B", "C")
purchases = st.lists(
    st.tuples(st.integers(0, 50_000), st.sampled_from([*CATEGORIES, None])),
    min_size=1,
    max_size=12,
).map(lambda lines: purchase_of(*lines))


@st.composite
def programs(draw: st.DrawFn) -> Compiled:
    rules = []
    for i in range(draw(st.integers(1, 6))):
        kinds = [
            f"rate: {{points: {draw(st.integers(1, 9))}, per_amount: {draw(st.integers(1, 999))}}}",
            f"fixed: {draw(st.integers(1, 99))}",
            (
                f"table: [{{at_least: 0, points: 3}}, {{at_least: 20000, points: "
                f"{draw(st.integers(0, 500))}}}]"
            ),
        ]
        if i:
            of, by = draw(st.integers(0, i - 1)), draw(st.sampled_from(["1", "1.25", "2", "3.5"]))
            kinds.append(f'multiplier: {{of: r{of}, by: "{by}"}}')
        parts = [f"id: r{i}", f"award: {{{draw(st.sampled_from(kinds))}}}"]
        if draw(st.booleans()):
            parts.append(f"lines: {{category: {draw(st.sampled_from(CATEGORIES))}}}")
        stacking = draw(st.sampled_from(["add", "exclusive", "{best_of_group: g}"]))
        parts.append(f"stacking: {stacking}")
        limit = draw(st.sampled_from(["", "points: 20, per: day", "times: 1, per: month",
                                      "points: 7, per: order"]))  # fmt: skip
        if limit:
            parts.append(f"limits: [{{{limit}}}]")
        rounding = draw(st.sampled_from(["floor", "ceil", "half_even"]))
        rules.append(f"- {{{', '.join(parts)}, rounding: {rounding}}}\n")
    return program_of("".join(rules))


def _check(program: Compiled, purchase: PurchaseData, found: tuple[Award, ...]) -> None:
    places = [next(i for i, r in enumerate(program.rules) if r.id == a.rule) for a in found]
    assert places == sorted(set(places))
    for award, place in zip(found, places, strict=True):
        rule = program.rules[place]
        assert award.value > 0
        assert 0 <= award.points <= award.value
        assert (award.points < award.value) == bool(award.capped)
        assert sum(share.points for share in award.lines) == award.points
        matched = range(len(purchase.lines)) if rule.match is None else rule.match(purchase.lines)
        for share in award.lines:
            assert share.points > 0
            assert share.line in matched
    # All rules of these programs have the same activation and expiry: one lot.
    assert {award.lot for award in found if award.points} <= {1}
    assert all(award.lot == NO_LOT for award in found if not award.points)
    by_rule = {award.rule: award for award in found}
    grouped = [a for a, p in zip(found, places, strict=True) if program.rules[p].group == "g"]
    assert sum(award.points > 0 for award in grouped) <= 1
    fired = [p for p, a in zip(places, found, strict=True)
             if a.points and program.rules[p].exclusive]  # fmt: skip
    if fired:
        assert all(not a.points for a, p in zip(found, places, strict=True) if p > fired[0])
    for award, place in zip(found, places, strict=True):
        if award.kind == "multiplier" and award.points:
            assert by_rule[program.rules[program.rules[place].numbers.of].id].points


@given(programs(), st.lists(purchases, min_size=1, max_size=4))
def test_awards_over_a_day_keep_every_rule(program: Compiled, day: list[PurchaseData]) -> None:
    used: dict[str, tuple[int, int]] = {}
    for purchase in day:
        standing = Standing(used=dict(used))
        found = evaluate(program, purchase, AT, standing, 1)
        assert evaluate(program, purchase, AT, standing, 1) == found
        assert standing.used == used
        _check(program, purchase, found)
        for award in found:
            assert len(set(award.counters)) == len(award.counters)
            for key in award.counters:
                points, times = used.get(key, (0, 0))
                used[key] = (points + award.points, times + 1)
    for rule in program.rules:
        for limit in rule.limits:
            spent = [value for key, value in used.items() if key.startswith(f"{rule.id}/")]
            if limit.points is not None and limit.per != "order":
                assert sum(points for points, _ in spent) <= limit.points
            if limit.times is not None:
                assert sum(times for _, times in spent) <= limit.times


@given(purchases, st.sampled_from(["1", "1.2", "1.5", "2", "7.333"]))
def test_a_multiplier_and_its_base_are_the_multiple_rounded_once(
    purchase: PurchaseData, by: str
) -> None:
    program = program_of(
        "- {id: base, award: {rate: {points: 1, per_amount: 100}}}\n"
        f'- {{id: m, award: {{multiplier: {{of: base, by: "{by}"}}}}}}\n'
    )
    points = [award.points for award in evaluate(program, purchase, AT, Standing(), 1)]
    base = sum(line.amount for line in purchase.lines) // 100
    assert sum(points) == base * Fraction(by) // 1
