"""What a seed decides: the faults, the records, and how each record must end."""

from collections import Counter
from datetime import UTC, datetime
from itertools import islice

from tests.faults.account import Account
from tests.faults.compare import Reference
from tests.faults.generator import Generator
from tests.faults.records import ACTIVITY, COMMANDS, Expected
from tests.faults.schedule import ALONE, KINDS, rounds

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
ROUNDS = 8


def made(seed: int) -> tuple[Account, list[Expected]]:
    account = Account()
    generator = Generator(seed, START, account)
    records = [
        one
        for number in range(ROUNDS)
        for one in generator.next(duplicates=number == 3, poisoned=number == 5)
    ]
    return account, records


def test_the_same_seed_is_the_same_faults_and_another_seed_is_others() -> None:
    assert list(islice(rounds(5), 100)) == list(islice(rounds(5), 100))
    assert list(islice(rounds(5), 100)) != list(islice(rounds(6), 100))


def test_every_kind_comes_before_any_comes_a_third_time() -> None:
    seen: Counter[str] = Counter()
    for chosen in islice(rounds(3), 200):
        seen.update(strike.kind for strike in chosen.strikes)
        assert max(seen.values()) - min(seen[kind] for kind in KINDS) <= 2


def test_two_at_once_never_meet_in_one_worker_nor_with_what_must_be_alone() -> None:
    pairs = [chosen.strikes for chosen in islice(rounds(1), 300) if len(chosen.strikes) > 1]
    assert pairs
    for one, other in pairs:
        assert one.victim != other.victim
        assert not {one.kind, other.kind} & ALONE


def test_the_same_seed_is_the_same_records() -> None:
    (account, records), (again, same) = made(7), made(7)
    assert records == same
    assert account.counts() == again.counts()
    assert made(8)[1] != records


def test_the_reference_model_expects_what_the_generator_expects() -> None:
    account, records = made(2)
    reference = Reference()
    reference.told(records)  # raises where they differ
    outcomes = account.by_outcome()
    assert outcomes.total() == account.total == len(records)
    assert all(
        outcomes[outcome] > 0
        for outcome in ("applied", "duplicate", "refused", "dead_lettered", "waiting")
    )
    assert account.rewards > account.revokes > 0
    kinds = {(kind, outcome) for (_, kind, outcome), n in account.ended.items() if n}
    assert kinds >= {(kind, "applied") for kind in (ACTIVITY, *COMMANDS)}
    assert kinds >= {(kind, "refused") for kind in (ACTIVITY, *COMMANDS)}
