"""Every way in which one input can end, and that each is counted once."""

import psycopg
import pytest

from ledger.application import Ledger
from ledger.core.decide import decide
from ledger.errors import BatchRefused
from ledger.received import INPUTS_MAX, Received, RecordRef, tick, undecodable
from ledger.settings import Settings
from ledger.sharding import ANONYMOUS_MEMBER, shard_of
from schemas.inputs import InputEvent
from tests.ledger.events import (
    SHARDS,
    direct,
    purchase,
    referral,
    returned,
    survey,
)
from tests.ledger.opened import instant, opened, postings_sum, run


async def kinds(ledger: Ledger, *events: InputEvent) -> list[tuple[str, str | None]]:
    """(kind, code) of each outcome."""
    return [(o.kind, o.code) for o in await ledger.handle(direct(*events))]


def test_applied_then_duplicate_then_conflict(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            first = purchase("m1", "o1")
            (applied,) = await ledger.handle(direct(first))
            (duplicate,) = await ledger.handle(direct(first))
            (conflict,) = await ledger.handle(direct(purchase("m1", "o1", amount=9)))
            assert (applied.kind, applied.position) == ("applied", 1)
            assert applied.shard == shard_of("m1", SHARDS)
            assert (duplicate.kind, duplicate.position) == ("duplicate", 1)
            assert (conflict.kind, conflict.code) == ("dead_lettered", "conflict")
            assert (await ledger.account("m1")).granted == 100
            assert await ledger.outcome_counts() == {
                ("direct", "applied"): 1,
                ("direct", "duplicate"): 1,
                ("direct", "dead_lettered"): 1,
            }

    run(test())
    assert postings_sum(owner) == 0


def test_the_same_within_one_batch(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            first = purchase("m1", "o1")
            outcomes = await ledger.handle(
                direct(first, purchase("m1", "o2"), first, purchase("m1", "o1", amount=9))
            )
            assert [o.kind for o in outcomes] == [
                "applied",
                "applied",
                "duplicate",
                "dead_lettered",
            ]
            assert [o.position for o in outcomes] == [1, 2, 1, None]
            assert (await ledger.account("m1")).granted == 200

    run(test())


def test_a_dead_letter_uses_up_nothing(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            wrong = purchase("m1", "o1", currency="EUR")
            right = purchase("m1", "o1")
            outcomes = await kinds(ledger, wrong, right, wrong)
            assert [kind for kind, _ in outcomes] == ["dead_lettered", "applied", "dead_lettered"]
            assert outcomes[2][1] == "conflict"

    run(test())


def test_a_refusal_uses_up_its_key(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            again = survey("m1", name="c2")
            assert await kinds(ledger, survey("m1"), again, again) == [
                ("applied", None),
                ("refused", "already_rewarded"),
                ("duplicate", None),
            ]
            assert (await ledger.account("m1")).granted == 200

    run(test())


def test_before_the_first_program_and_from_the_future(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            assert await kinds(
                ledger, purchase("m1", "o1", at=-30), purchase("m1", "o2", at=100_000)
            ) == [("dead_lettered", "no_program"), ("dead_lettered", "from_future")]
            assert (await ledger.account("m1")).version == 0

    run(test())


def test_the_records_own_time_bounds_the_future(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            event = direct(purchase("m1", "o1", at=10))[0]
            early = Received(
                event.event,
                event.occurred_at,
                record=RecordRef("purchases", 0, 0, timestamp=instant(9) // 1_000),
            )
            unknown = Received(
                event.event, event.occurred_at, record=RecordRef("purchases", 0, 0, timestamp=-1)
            )
            outcomes = await ledger.handle([early, unknown])
            assert [(o.kind, o.code) for o in outcomes] == [
                ("dead_lettered", "from_future"),
                ("applied", None),
            ]

    run(test())


def test_undecodable_beside_good_ones(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            record = RecordRef(
                "purchases", 0, 7, b"key", b"\xff\x00", (("h", b"\x00"), ("n", None)), 5
            )
            bad = undecodable(record, "not_json", "$", "Not \x00 JSON \ud800.")
            good = direct(purchase("m1", "o1"))
            outcomes = await ledger.handle([*good, bad])
            assert [(o.kind, o.code) for o in outcomes] == [
                ("applied", None),
                ("dead_lettered", "not_json"),
            ]
            (letter,) = await ledger.dead_letters()
            assert letter.record() == record
            assert letter.type == "unknown"
            assert await ledger.outcome_counts_by_type() == {
                ("direct", "purchase.completed.v1", "applied"): 1,
                ("purchases", "unknown", "dead_lettered"): 1,
            }

    run(test())


def test_anonymous_purchases_lie_in_the_shard_of_their_order(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            events = [purchase(None, f"o{n}") for n in range(20)]
            outcomes = await ledger.handle(direct(*events, *events))
            assert [o.kind for o in outcomes] == ["applied"] * 20 + ["duplicate"] * 20
            assert [o.shard for o in outcomes[:20]] == [
                shard_of(f"o{n}", SHARDS) for n in range(20)
            ]
            assert all(member == ANONYMOUS_MEMBER for _, member in ledger.cache._entries)

    run(test())


def test_a_bug_dead_letters_one_input_and_leaves_the_account_whole(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            real = decide

            def broken(account, event, *rest):  # type: ignore[no-untyped-def]
                events = real(account, event, *rest)
                if event.data.order_id == "o2":
                    raise ZeroDivisionError("a bug, after the fork was changed")
                return events

            monkeypatch.setattr("ledger.deciding.decide", broken)
            outcomes = await ledger.handle(
                direct(purchase("m1", "o1"), purchase("m1", "o2"), purchase("m1", "o3"))
            )
            assert [(o.kind, o.code) for o in outcomes] == [
                ("applied", None),
                ("dead_lettered", "internal_error"),
                ("applied", None),
            ]
            assert [o.position for o in outcomes] == [1, None, 2]
            assert (await ledger.account("m1")).granted == 200
            monkeypatch.undo()
            (letter,) = await ledger.dead_letters(code="internal_error")
            assert "ZeroDivisionError" in letter.message

    run(test())


def test_ticks_are_no_inputs_to_count(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1")))
            before = await ledger.outcome_counts()
            (settled,) = await ledger.handle([tick("m1", instant(8))])
            (nothing,) = await ledger.handle([tick("m1", instant(8))])
            assert (settled.kind, settled.position) == ("applied", 2)
            assert (nothing.kind, nothing.position) == ("applied", None)
            assert (await ledger.account("m1")).balances().available == 100
            assert await ledger.outcome_counts() == before

    run(test())


def test_referrer_facts_come_from_the_batch_or_the_database(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            # m2 was brought in by m1 within the same batch, so m1 by m2 would be a cycle.
            outcomes = await ledger.handle(
                direct(survey("m1"), survey("m2"), referral("m2", "m1"), referral("m1", "m2"))
            )
            assert [o.kind for o in outcomes] == ["applied", "applied", "applied", "refused"]
            async with opened(settings) as other:
                (outcome,) = await other.handle(direct(referral("m3", "m1")))
                assert outcome.kind == "applied"

    run(test())


def test_a_call_against_the_contract_is_refused(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            event = direct(purchase("m1", "o1"))
            with pytest.raises(BatchRefused):
                await ledger.handle(event * (INPUTS_MAX + 1))
            with pytest.raises(BatchRefused):
                await ledger.handle(event * 2, retry_of=1)
            assert await ledger.handle([]) == []

    run(test())


def test_neither_event_nor_reason(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            (outcome,) = await ledger.handle([Received()])
            assert (outcome.kind, outcome.code) == ("dead_lettered", "empty")

    run(test())


def test_a_waiting_return_is_counted_once(settings: Settings) -> None:
    """waiting, then applied with its purchase: the count moves, in another call or the same."""

    async def test() -> None:
        async with opened(settings) as ledger:
            assert await kinds(ledger, returned("m1", "o1", "r1")) == [("waiting", None)]
            assert await kinds(ledger, returned("m1", "o1", "r1")) == [("duplicate", None)]
            assert await kinds(ledger, purchase("m1", "o1")) == [("applied", None)]
            assert await kinds(ledger, returned("m2", "o2", "r2"), purchase("m2", "o2")) == [
                ("waiting", None),
                ("applied", None),
            ]
            counts = await ledger.outcome_counts_by_type()
            assert counts == {
                ("direct", "purchase.completed.v1", "applied"): 2,
                ("direct", "purchase.returned.v1", "applied"): 2,
                ("direct", "purchase.returned.v1", "duplicate"): 1,
            }
            assert (await ledger.account("m1")).balances().pending == 0

    run(test())


def test_a_waiting_return_is_refused_at_its_deadline(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(returned("m1", "o1", "r1", at=1)))
            await ledger.handle([tick("m1", instant(40))])
            assert await ledger.outcome_counts() == {("direct", "refused"): 1}
            # The purchase that comes too late is no longer waited for.
            assert await kinds(ledger, purchase("m1", "o1", at=41)) == [("applied", None)]

    run(test())
    assert owner.execute("SELECT count(*) FROM ledger.waiting").fetchone() == (0,)


def test_a_return_of_an_order_long_gone_is_refused(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(direct(purchase("m1", "o1")))
            await ledger.handle([tick("m1", instant(100))])
            await ledger.handle(direct(purchase("m1", "o2", at=101)))
            assert await kinds(ledger, returned("m1", "o1", "r1", at=102)) == [
                ("refused", "return_window_over")
            ]

    run(test())
