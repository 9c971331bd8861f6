"""Random histories: whatever happens, the entries agree with the lots, and the past stays so."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from demo.reference import ReferenceProgram

START = datetime(2017, 1, 1, tzinfo=UTC)
MEMBERS = ("a", "b")
# Long enough to earn, spend, return and expire; short enough for a second's worth of examples.
HISTORY_STEPS_MAX = 40
POLICIES = st.sampled_from(
    [
        {"policy": "debt"},
        {"policy": "debt", "debt_limit": 15},
        {"policy": "within_balance"},
        {"policy": "only_pending"},
    ]
)


def program(returns: dict[str, Any]) -> ReferenceProgram:
    return ReferenceProgram(
        {
            "time_zone": "Europe/Berlin",
            "effective_from": START.isoformat(),
            "activation": {"after": "P7D"},
            "expiry": {"after": "P1M"},
            "earn": [
                {"id": "base", "award": {"rate": {"points": 1, "per_amount": 100}}},
                {
                    "id": "bonus",
                    "when": {"tier": "silver"},
                    "award": {"multiplier": {"of": "base", "by": "1.5"}},
                    "activation": "immediately",
                },
                {
                    "id": "weekly",
                    "award": {"fixed": 5},
                    "limits": [{"times": 1, "per": "iso_week"}],
                    "expiry": {"end_of": "month"},
                },
            ],
            "tiers": {
                "qualify_by": {"amount_spent": {"window": "calendar_month"}},
                "levels": [{"id": "silver", "at_least": 3000}],
                "downgrade": {"grace": "P3D"},
            },
            "surveys": [{"id": "s", "award": {"fixed": 20}, "activation": "immediately"}],
            "referral": {
                "qualifies": {"first_purchase": {"at_least": 500, "within": "P60D"}},
                "referrer": {"fixed": 10},
                "referee": {"fixed": 5},
            },
            "returns": {**returns, "window": "P2M"},
            "redemption": {"reservation_ttl": "PT6H", "restore_grace": "P2D"},
        }
    )


amounts = st.lists(st.integers(0, 2500), min_size=1, max_size=3)
buying = st.tuples(st.just("buy"), amounts, st.booleans())
returning = st.tuples(
    st.just("return"), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 1500))
)
steps = st.one_of(
    buying,
    buying,
    returning,
    returning,
    st.tuples(st.just("checkout"), st.integers(1, 100), amounts),
    st.tuples(st.just("checkout"), st.integers(1, 100), amounts),
    st.tuples(st.just("return before"), st.integers(0, 2)),
    st.tuples(st.just("survey")),
    st.tuples(st.just("refer"), st.sampled_from(MEMBERS)),
    st.tuples(st.just("reserve"), st.integers(1, 100)),
    st.tuples(st.sampled_from(["confirm", "confirm", "cancel"])),
)
# Hours since the input before it: within a reservation's time, within the return window, or beyond.
gaps = st.sampled_from([0, 1, 1, 6, 30, 170, 400])
histories = st.lists(
    st.tuples(gaps, st.sampled_from(MEMBERS), steps), min_size=5, max_size=HISTORY_STEPS_MAX
)


def as_input(
    model: ReferenceProgram, member_id: str, at: datetime, step: tuple[Any, ...], number: int
) -> tuple[str, dict[str, Any]]:
    """The input that the step means now: what it returns or confirms is what the member has."""
    member = model.member(member_id)
    newest = next(reversed(member.redemptions), "unknown")
    match step:
        case "buy", amounts, spends:
            lines = [
                {"line_id": str(n), "sku": "s", "quantity": 1, "amount": amount}
                for n, amount in enumerate(amounts)
            ]
            data: dict[str, Any] = {"order_id": f"o{number}", "lines": lines}
            redemption = {"redemption_id": newest} if spends else {}
            return "purchase.completed.v1", data | redemption
        case "return", back, amount:
            known = list(member.orders)
            order_id = known[-1 - back % len(known)] if known else "unknown"
            data = {"order_id": order_id, "return_id": f"r{number}"}
            named = {"lines": [{"line_id": "0", "amount": amount}]}
            return "purchase.returned.v1", data | ({} if amount is None else named)
        case "return before", ahead:
            data = {"order_id": f"o{number + 1 + ahead}", "return_id": f"r{number}"}
            return "purchase.returned.v1", data
        case ("survey",):
            return "survey.completed.v1", {"survey_id": "s", "completion_id": f"c{number}"}
        case "refer", referrer_id:
            return "referral.registered.v1", {"referrer_id": referrer_id, "code": "c"}
        case "reserve", percent:
            available = model.state(member_id, max(at, member.wallet.settled_to))["available"]
            data = {
                "redemption_id": f"x{number}",
                "points": max(1, int(available) * percent // 100),
            }
            return "redemption.reserve.v1", data
        case (kind,):
            return f"redemption.{kind}.v1", {"redemption_id": newest}
    raise AssertionError(step)


def send(
    model: ReferenceProgram, at: datetime, member: str, step: tuple[Any, ...], number: int
) -> None:
    if step[0] == "checkout":  # points are spent on the purchase that follows
        _, percent, amounts = step
        for part in (("reserve", percent), ("confirm",), ("buy", amounts, True)):
            send(model, at, member, part, number)
        return
    kind, data = as_input(model, member, at, step, number)
    event = {"id": "1", "source": "t", "type": kind, "subject": member, "time": at, "data": data}
    model.apply(event)
    for each in model.members.values():
        each.wallet.check()


def everyone(model: ReferenceProgram, at: datetime) -> dict[str, dict[str, int | str]]:
    states = {member: model.state(member, at) for member in model.members}
    for state in states.values():
        assert min(int(state[name]) for name in ("pending", "reserved", "expired", "debt")) >= 0
    return {member: state for member, state in states.items() if state["granted"]}


@settings(max_examples=150, derandomize=True)
@given(histories, POLICIES)
def test_what_was_said_of_a_moment_is_said_of_it_ever_after(
    history: list[tuple[int, str, tuple[Any, ...]]], returns: dict[str, Any]
) -> None:
    model, at, said = program(returns), START, {}
    for number, (hours, member, step) in enumerate(history):
        at += timedelta(hours=hours)
        send(model, at, member, step, number)
        said[at] = everyone(model, at)
    for moment, states in said.items():
        assert everyone(model, moment) == states
    # Long after the end everything granted has been spent, taken back or has expired.
    for state in everyone(model, at + timedelta(days=400)).values():
        assert (state["pending"], state["reserved"]) == (0, 0)
        assert state["available"] == -int(state["debt"])


@settings(max_examples=150, derandomize=True)
@given(histories, POLICIES, st.lists(st.integers(0, 1500), min_size=40, max_size=40))
def test_late_inputs_keep_the_entries_and_the_lots_together(
    history: list[tuple[int, str, tuple[Any, ...]]], returns: dict[str, Any], late: list[int]
) -> None:
    model, at = program(returns), START
    for number, ((hours, member, step), late_by) in enumerate(zip(history, late, strict=False)):
        at += timedelta(hours=hours)
        occurred_at = at - timedelta(hours=late_by if number % 3 == 2 else 0)
        send(model, max(START, occurred_at), member, step, number)
    everyone(model, at + timedelta(days=400))
