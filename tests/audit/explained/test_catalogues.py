"""The catalogues are whole, say what the code says, and are compiled from what they say."""

from collections.abc import Iterable
from string import Formatter

import pytest
from babel.messages import Catalog
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from audit import words, words_refusals
from audit.catalogues import po_file, read, template, whole
from audit.lot_stories import STAYING
from audit.texts import DOMAIN, LANGUAGES, LOCALES, SOURCE, Texts
from tests.docs.codes import refusals

OTHERS = [language for language in LANGUAGES if language != SOURCE]
FORMS = {"ru": 3}
"""How many forms a number has in each language."""

STALE = "run `python -m audit.catalogues` and translate what it names"


def fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def forms(text: str | Iterable[str] | None) -> tuple[str, ...]:
    """A sentence, or one for each of its numbers."""
    return (text,) if isinstance(text, str) else tuple(text or ())


def messages(catalogue: Catalog) -> dict[tuple[str, ...], tuple[str, ...]]:
    return {forms(each.id): forms(each.string) for each in catalogue if each.id}


@pytest.fixture(scope="module")
def gathered() -> Catalog:
    return template()


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_translated(language: str, gathered: Catalog) -> None:
    catalogue = read(language)
    assert messages(catalogue).keys() == messages(gathered).keys(), STALE
    assert not catalogue.obsolete, STALE
    assert catalogue.num_plurals == FORMS[language]
    for message in catalogue:
        if not message.id:
            continue
        assert whole(message.string), f"{message.id}: {STALE}"
        assert not message.fuzzy, message.id
        originals, translated = forms(message.id), forms(message.string)
        assert len(translated) == (1 if len(originals) == 1 else FORMS[language]), message.id
        for form in translated:
            assert fields(form) == fields(originals[0]), f"{message.id}: other names in braces"


def test_the_template_is_up_to_date(gathered: Catalog) -> None:
    with (LOCALES / f"{DOMAIN}.pot").open("rb") as file:
        assert messages(read_po(file)).keys() == messages(gathered).keys(), STALE


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    with po_file(language).with_suffix(".mo").open("rb") as file:
        compiled = messages(read_mo(file))
    assert compiled == messages(read(language)), STALE


def test_every_refusal_has_a_sentence() -> None:
    known = words_refusals.REFUSALS
    for code in refusals():
        stem = code.removesuffix(".*")
        assert code in known or (stem != code and any(each.startswith(stem) for each in known))


def test_every_movement_has_a_sentence() -> None:
    out = {"spent", "donated", "claimed", "expired", "taken_back", "not_activated", "forfeited",
           "sent", "merged", "paid_debt", "adjusted"}  # fmt: skip
    assert set(words.MOVES) == STAYING | out | {"restored"}


def test_russian_counts_in_three_forms() -> None:
    texts = Texts("ru", "Europe/Moscow", "RUB")
    told = [texts.points(n) for n in (1, 2, 5, 11, 21, 22, 25, 111, -1, -3)]
    assert told == [
        "1 балл", "2 балла", "5 баллов", "11 баллов", "21 балл", "22 балла", "25 баллов",
        "111 баллов", "-1 балл", "-3 балла",
    ]  # fmt: skip
    assert texts.money(174950).replace("\u00a0", " ") == "1 749,50 ₽"
    assert Texts("en", "UTC", "USD").points(1) == "1 point"
    assert Texts("en", "UTC", "JPY").money(500) == "¥500"
