"""Explanations in words, in both languages, of all that generated histories hold."""

import re

import pytest

from audit.entries import explain as entry
from audit.explain import explain, part
from audit.texts import LANGUAGES, Texts
from audit.words import words
from ledger.core.calendar import INSTANT_MAX, to_instant
from tests.audit.explained.test_entries import PROGRAMS
from tests.audit.explained.test_entries import at as on
from tests.audit.explained.test_entries import told as worked_example
from tests.audit.explained.towns import LEDGER, log_of, town_of
from tests.core.account_tools import MINIMAL, Member, at, timeline

CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)


def told(member: Member, language: str) -> list[str]:
    found = explain(member.id, log_of(member), member.programs, LEDGER, INSTANT_MAX)
    assert found is not None
    return [line.text for line in words(found, Texts(language, "Europe/Moscow", "RUB"))]


@pytest.mark.parametrize("seed", range(12))
def test_everything_is_told_in_every_language(seed: int) -> None:
    for member in town_of(seed).members.values():
        english, russian = (told(member, language) for language in LANGUAGES)
        assert len(english) == len(russian)
        for line in russian:
            assert CYRILLIC.search(line), f"not translated: {line}"
        for line in english:
            assert not CYRILLIC.search(line)


@pytest.mark.parametrize("seed", range(6))
def test_every_entry_is_told_in_every_language(seed: int) -> None:
    for member in town_of(seed).members.values():
        for event in member.events:
            english, russian = (
                entry(event, "RUB", "Europe/Moscow", language) for language in LANGUAGES
            )
            assert len(english.details) == len(russian.details)
            for line in (russian.headline, *russian.details):
                assert CYRILLIC.search(line), f"not translated: {line}"


EXAMPLE = """
Партия 2: 174 балла, 10 января 2026 г., 03:00, за покупку, заказ o1 в магазине 7
правило base даёт за 1 749,50 ₽: 87 баллов
распределено по строкам: строка l1: 65, строка l2: 22
правило gold-bonus умножает и добавляет: 87 баллов
можно тратить с 24 января 2026 г., 03:00
сгорают 24 января 2027 г., 03:00
20 января 2026 г., 03:00: отозвано из-за возврата r-o1-20260120T000000 по заказу o1: 44 балла
25 января 2026 г., 03:00: удержано для списания r1: 100 баллов
осталось: 10 баллов
правило once ничего не дало: его лимит исчерпан: 1 раз за всё время
правило gold-bonus ничего не дало: оно для уровня gold; а уровень был: нет
"""


def test_the_worked_example_in_russian() -> None:
    _, events = worked_example()
    anna = Member(PROGRAMS, "anna")
    anna.events = events
    found = explain("anna", log_of(anna), PROGRAMS, LEDGER, to_instant(on(1, 30)))
    assert found is not None
    lines = words(found, Texts("ru", "Europe/Moscow", "RUB"))
    text = "\n".join(line.text for line in lines).replace("\u00a0", " ")
    for line in EXAMPLE.strip().splitlines():
        assert line in text


def test_debt_is_followed_from_the_return_that_made_it_to_the_lot_that_paid() -> None:
    member = Member(timeline(MINIMAL))
    member.buy("2017-02-01", "o1", 10_000)
    member.redeem("2017-02-02", "r1", 60)
    member.give_back("2017-02-03", "o1", "back")
    member.buy("2017-02-04", "o2", 2_500)
    found = explain(member.id, log_of(member), member.programs, LEDGER, at("2017-02-05"))
    assert found is not None
    (owed,) = found.owed
    assert (owed.points, owed.by.return_id, owed.left) == (60, "back", 35)
    assert [(each.points, each.lot, each.by.order_id) for each in owed.payments] == [(25, 2, "o2")]
    assert found.available == -35
    assert [lot.went for lot in found.lots] == [{"spent": 60, "taken_back": 40}, {"paid_debt": 25}]
    only = part(found, order_id="o1")
    assert [lot.lot for lot in only.lots] == [1]
    assert [each.by.order_id for each in only.judged] == ["o1"]
