"""Gathering the sentences of the code into the catalogues, and compiling these.

`python -m audit.catalogues` after a sentence changed: it writes the template, adds new sentences to
each language's `.po` (empty: to be translated there), drops those that are gone, and compiles the
`.mo` that the program reads. A test compares all of it with the code.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from audit.texts import DOMAIN, LANGUAGES, LOCALES, SOURCE

ROOT = Path(__file__).parents[1]

KEYWORDS = {"say": None, "N_": None, "count": (1, 2)}
"""The functions whose arguments are sentences."""

FOLDERS = ("audit", "console")
"""Whose sentences these are: what the log tells, and the console that shows it."""

EDITED = datetime(2026, 1, 1, tzinfo=UTC)
"""Stands for every date in the catalogues: they must not change when nothing did."""

WIDTH = 100


def template() -> Catalog:
    """The sentences of the code."""
    found = _headed(Catalog())
    for path in sorted(each for folder in FOLDERS for each in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for line, message, comments, context in extract_from_file(
            "python", path, keywords=KEYWORDS, comment_tags=("Translators:",)
        ):
            found.add(message, None, [(name, line)], auto_comments=comments, context=context)
    return found


def _headed(catalogue: Catalog) -> Catalog:
    """With a header that says what it must and changes with nothing."""
    catalogue.header_comment = "# The texts of Points Ledger: see audit/catalogues.py."
    catalogue.project, catalogue.version = "Points Ledger", "1"
    catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = "-"
    catalogue.charset, catalogue.fuzzy = "utf-8", False
    catalogue.creation_date = catalogue.revision_date = EDITED
    return catalogue


def po_file(language: str) -> Path:
    """Where a language's sentences are."""
    return LOCALES / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def read(language: str) -> Catalog:
    """A language's catalogue; an empty one for a new language."""
    path = po_file(language)
    if not path.exists():
        return Catalog(locale=language, domain=DOMAIN)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=DOMAIN)


def update() -> list[str]:
    """Bring all catalogues up to date; what is still to be translated."""
    gathered, missing = template(), []
    LOCALES.mkdir(exist_ok=True)
    with (LOCALES / f"{DOMAIN}.pot").open("wb") as file:
        write_po(file, gathered, width=WIDTH, no_location=True, sort_output=True)
    for language in LANGUAGES:
        if language == SOURCE:
            continue
        catalogue = read(language)
        catalogue.update(gathered, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        _headed(catalogue)
        po_file(language).parent.mkdir(parents=True, exist_ok=True)
        with po_file(language).open("wb") as file:
            write_po(file, catalogue, width=WIDTH, no_location=True, sort_output=True)
        with po_file(language).with_suffix(".mo").open("wb") as file:
            write_mo(file, catalogue)
        missing += [
            f"{language}: {one.id}" for one in catalogue if one.id and not whole(one.string)
        ]
    return missing


def whole(translation: object) -> bool:
    """Whether nothing of a translation is left out, in none of its plural forms."""
    forms = translation if isinstance(translation, tuple | list) else (translation,)
    return all(forms)


if __name__ == "__main__":
    for each in update():
        sys.stderr.write(f"to be translated: {each}\n")
