"""Promo codes through the one door: used once whoever names them, given back, generated in bulk."""

import asyncio
import stat
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.core.program.form import Award, EarnRule, PromoSeries, Validity, When
from ledger.core.program.form import Program as Form
from ledger.core.program.load import load_program
from ledger.core.promo_codes import generated
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.sharding import shard_of
from schemas.decisions import PurchaseRewarded
from schemas.log_events import decode_event
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import SHARDS, day, direct, purchase, returned
from tests.ledger.interleaved import interleave
from tests.ledger.opened import opened, run
from tests.ledger.pairs import merge

GIFT = 50
"""Points of a code of the series `letter`."""


def with_codes(effective: float = -0.5, **letter: Any) -> Form:
    """The tests' program with three series, and a rule for each."""
    program = load_program(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name)
    series = (
        PromoSeries(id="letter", **letter),
        PromoSeries(id="poster", code="SPRING"),
        PromoSeries(id="radio", code="RADIO", uses=5),
    )
    rules = [
        EarnRule(id=f"of-{each.id}", award=Award(fixed=GIFT), when=When(promo_code=each.id))
        for each in series
    ]
    return replace(
        program, effective_from=day(effective), earn=(*program.earn, *rules), promo_codes=series
    )


async def made(ledger: Ledger, tmp_path: Path, count: int, *members: str) -> list[str]:
    """New codes of `letter`."""
    out = tmp_path / f"codes-{uuid4().hex}.csv"
    await ledger.generate_codes("letter", count, out, members or None)
    return [line.partition(",")[0] for line in out.read_text().splitlines()[1:]]


def naming(member: str, order: str, *codes: str, at: float = 0) -> Any:
    """A purchase too small for points that names these codes."""
    return purchase(member, order, at=at, amount=1, promo_codes=codes)


def statuses(owner: psycopg.Connection[Any]) -> list[list[str]]:
    """Of each purchase what its codes came to, in the order of the log."""
    rows = owner.execute(
        "SELECT payload FROM ledger.events WHERE type = 'PurchaseRewarded'"
        " ORDER BY recorded_at, shard, position"
    )
    found = []
    for (payload,) in rows:
        event = decode_event(payload)
        assert isinstance(event, PurchaseRewarded)
        found.append([fact.status for fact in event.facts.codes] if event.facts else [])
    return found


def left(owner: psycopg.Connection[Any]) -> list[int]:
    """What is left of each code."""
    rows = owner.execute("SELECT uses_left FROM ledger.promo_codes ORDER BY uses_left")
    return [row[0] for row in rows]


def test_a_generated_code_is_used_once(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            one, _ = await made(ledger, tmp_path, 2)
            await ledger.handle(direct(naming("m1", "o1", one.lower())))
            await ledger.handle(direct(naming("m1", "o2", one)))
            await ledger.handle(direct(naming("m2", "o3", one)))
            assert (await ledger.account("m1")).granted == GIFT
            assert (await ledger.account("m2")).granted == 0

    run(test())
    assert statuses(owner) == [["ok"], ["spent"], ["spent"]]
    assert left(owner) == [0, 1]


def test_in_one_batch_the_first_of_many_gets_it(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            (code,) = await made(ledger, tmp_path, 1)
            await ledger.handle(direct(*(naming(f"m{n}", "o", code) for n in range(9))))
            granted = [(await ledger.account(f"m{n}")).granted for n in range(9)]
            assert granted == [GIFT] + [0] * 8

    run(test())
    assert left(owner) == [0]


def test_taken_by_another_shard_between_reading_and_locking(
    settings: Settings,
    owner: psycopg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = next(f"m{n}" for n in range(9) if shard_of(f"m{n}", SHARDS) != shard_of("m1", SHARDS))

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.publish_program(with_codes())
            await two.reload_programs()
            (code,) = await made(one, tmp_path, 1)
            await interleave(
                monkeypatch,
                one,
                direct(naming("m1", "o1", code)),
                lambda: two.handle(direct(naming(other, "o2", code))),
            )
            assert (await one.account(other)).granted == GIFT
            assert (await one.account("m1")).granted == 0
            assert one.stats.decided_again == 1

    run(test())
    assert left(owner) == [0]


def test_many_at_once_want_the_same_codes(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await one.publish_program(with_codes())
            await two.reload_programs()
            codes = await made(one, tmp_path, 30)

            async def shop(ledger: Ledger, who: int) -> None:
                for start in range(0, 30, 6):
                    some = codes[start : start + 6]
                    # Each names them in another order, from members of all shards.
                    turned = some[who:] + some[:who]
                    events = [naming(f"w{who}-{n}", c, c) for n, c in enumerate(turned)]
                    await ledger.handle(direct(*events))

            await asyncio.gather(*(shop((one, two)[who % 2], who) for who in range(5)))
            granted = [(await one.account(f"w{w}-{n}")).granted for w in range(5) for n in range(6)]
            assert sum(granted) == 30 * GIFT

    run(test())
    assert left(owner) == [0] * 30


def test_a_bound_code_is_only_for_its_member(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            first, second = await made(ledger, tmp_path, 2, "m1", "m2")
            await ledger.handle(direct(naming("m1", "o1", second)))
            await ledger.handle(direct(naming("m1", "o2", first)))

    run(test())
    assert statuses(owner) == [["not_yours"], ["ok"]]


def test_a_code_goes_with_its_member_into_another_account(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    other = next(f"m{n}" for n in range(9) if shard_of(f"m{n}", SHARDS) != shard_of("m1", SHARDS))

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes(per_member=1))
            code, second = await made(ledger, tmp_path, 2, "m1", "m1")
            first = direct(naming("m1", "o0"), naming(other, "o0"), merge("m1", other))
            assert {o.kind for o in await ledger.handle(first)} == {"applied"}
            await ledger.handle(direct(naming("m1", "o1", code, at=2)))
            await ledger.handle(direct(naming("m1", "o2", second, at=2)))
            assert (await ledger.account(other)).granted == GIFT

    run(test())
    assert statuses(owner)[2:] == [["ok"], ["used_by_member"]]
    assert left(owner) == [0, 1]


def test_a_returned_order_gives_its_code_back(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes(per_member=1))
            (code,) = await made(ledger, tmp_path, 1)
            await ledger.handle(direct(naming("m1", "o1", code, "RADIO")))
            assert left(owner) == [0]
            assert spent_of_radio(owner) == 1
            await ledger.handle(direct(returned("m1", "o1", "r1")))
            assert left(owner) == [1]
            assert spent_of_radio(owner) == 0
            await ledger.handle(direct(naming("m1", "o2", code, at=2)))

    run(test())
    assert left(owner) == [0]
    assert statuses(owner) == [["ok", "ok"], ["ok"]]


def test_one_batch_gives_it_back_and_uses_it_again(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            (code,) = await made(ledger, tmp_path, 1)
            first, back = naming("m1", "o1", code), returned("m1", "o1", "r1")
            await ledger.handle(direct(first, back, naming("m1", "o2", code, at=2)))
            assert (await ledger.account("m1")).granted == 2 * GIFT

    run(test())
    assert left(owner) == [0]


def spent_of_radio(owner: psycopg.Connection[Any]) -> int:
    row = owner.execute(
        "SELECT b.total - b.undrawn - sum(l.leased), sum(l.spent) FROM ledger.budgets b JOIN"
        " ledger.budget_leases l ON l.budget = b.id WHERE b.id = 'promo_codes/radio' GROUP BY b.id"
    ).fetchone()
    assert row is not None
    assert row[0] == row[1]
    return int(row[1])


def test_a_fixed_code_is_used_so_often_over_all_members(
    settings: Settings, owner: psycopg.Connection
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            for start in (0, 4):
                members = [f"m{n}" for n in range(start, start + 4)]
                events = [naming(member, "o", "radio", "spring") for member in members]
                await ledger.handle(direct(*events))
            granted = [(await ledger.account(f"m{n}")).granted for n in range(8)]
            assert sorted(granted) == [GIFT] * 3 + [2 * GIFT] * 5

    run(test())
    assert spent_of_radio(owner) == 5
    assert sorted(statuses(owner)) == [["ok", "ok"]] * 5 + [["spent", "ok"]] * 3


def test_a_purchase_without_codes_asks_for_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr("ledger.promo_codes._rows", refuse)

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            await ledger.handle(direct(naming("m1", "o1", "SPRING", "no such code")))
            assert (await ledger.account("m1")).granted == GIFT

    run(test())


def test_a_late_purchase_of_before_the_series_names_only_words(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes(effective=2))
            (code,) = await made(ledger, tmp_path, 1)
            await ledger.handle(direct(naming("m1", "o1", code, "SPRING", at=1)))
            await ledger.handle(direct(naming("m1", "o2", code, at=3)))

    run(test())
    assert statuses(owner) == [[], ["ok"]]
    assert left(owner) == [0]


def test_codes_wait_for_their_time(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes(valid=Validity(start=day(3), end=day(5))))
            (code,) = await made(ledger, tmp_path, 1)
            for number in (2.9, 5, 3):
                await ledger.handle(direct(naming("m1", f"o{number}", code, at=number)))

    run(test())
    assert statuses(owner) == [["not_yet"], ["expired"], ["ok"]]


# --- generating -----------------------------------------------------------------------------------


def test_the_database_knows_only_digests(
    settings: Settings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes(uses=3))
            codes = await made(ledger, tmp_path, 60_000)
            assert len(set(codes)) == 60_000
            assert all(generated(code) for code in codes)
            dump = owner.execute("SELECT code FROM ledger.promo_codes LIMIT 100").fetchall()
            assert not {row[0] for row in dump} & {code.encode() for code in codes}
            row = await ledger.promo_code(codes[59_999])
            assert row is not None
            assert (row.series, row.member_id, row.uses_left) == ("letter", None, 3)
            counted = (await ledger.promo_code_counts())["letter"]
            assert (counted.codes, counted.uses, counted.uses_left) == (60_000, 180_000, 180_000)

    run(test())
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("series", "code"), [("poster", "fixed_code"), ("nowhere", "unknown_series")]
)
def test_for_what_nothing_is_generated(
    settings: Settings, tmp_path: Path, series: str, code: str
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            with pytest.raises(LedgerError) as refused:
                await ledger.generate_codes(series, 1, tmp_path / "codes.csv")
            assert refused.value.code == code

    run(test())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("series", "count", "members"),
    [
        ("other", 3, None),
        ("letter", 2, None),
        ("letter", 3, ["m1", "m2", "m3"]),
        ("letter", 3, None),
    ],
)
def test_codes_of_an_interrupted_call_are_never_overwritten(
    settings: Settings, tmp_path: Path, series: str, count: int, members: list[str] | None
) -> None:
    """Killed after COMMIT; what is asked for then is the same (the last case) or something else."""
    out, part = tmp_path / "c.csv", tmp_path / "c.csv.part"

    async def test() -> None:
        async with opened(settings) as ledger:
            two = with_codes()
            both = (*two.promo_codes, PromoSeries(id="other"))
            await ledger.publish_program(replace(two, promo_codes=both))
            await ledger.generate_codes("letter", 3, out)
            out.rename(part)
            codes = part.read_text()
            if (series, count, members) == ("letter", 3, None):
                assert (await ledger.generate_codes(series, count, out)).recovered
                assert out.read_text() == codes
                return
            with pytest.raises(LedgerError) as refused:
                await ledger.generate_codes(series, count, out, members)
            assert refused.value.code == "other_codes"
            assert part.read_text() == codes
            assert not out.exists()

    run(test())


def test_bound_codes_of_an_interrupted_call_are_those_of_its_members(
    settings: Settings, tmp_path: Path
) -> None:
    out, part = tmp_path / "c.csv", tmp_path / "c.csv.part"

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            await ledger.generate_codes("letter", 2, out, ["m1", "m2"])
            out.rename(part)
            for members in (["m1", "m3"], None):
                with pytest.raises(LedgerError) as refused:
                    await ledger.generate_codes("letter", 2, out, members)
                assert refused.value.code == "other_codes"
            assert (await ledger.generate_codes("letter", 2, out, ["m1", "m2"])).recovered

    run(test())


def test_a_file_is_never_overwritten(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    file.write_text("mine")

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.publish_program(with_codes())
            with pytest.raises(LedgerError) as refused:
                await ledger.generate_codes("letter", 1, file)
            assert refused.value.code == "file_exists"
            assert await ledger.promo_code_counts() == {}

    run(test())
    assert file.read_text() == "mine"
