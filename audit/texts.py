"""Texts in the reader's language: sentences from the catalogues, numbers and dates as there.

The sentences in the code are English and are the keys of the catalogues (`audit/locale`); what is
not in a catalogue is said in English. Dates are of the program's time zone. `python -m
audit.catalogues` gathers the sentences and compiles the catalogues.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_datetime, get_day_names
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal, get_currency_precision
from babel.support import NullTranslations, Translations

from ledger.core.program.duration import Duration

LOCALES = Path(__file__).parent / "locale"
"""Where the catalogues are: LANGUAGE/LC_MESSAGES/points.po and .mo."""

DOMAIN = "points"

SOURCE = "en"
"""The language of the sentences in the code; it needs no catalogue."""

LANGUAGES = (SOURCE, "ru")

DAY_SECONDS, HOUR_SECONDS = 86_400, 3_600

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def N_(text: str) -> str:  # noqa: N802 - the name that gettext's tools know
    """Marks a sentence that stands in a table, for the catalogues."""
    return text


@cache
def _catalogue(language: str) -> NullTranslations:
    if language == SOURCE:
        return NullTranslations()
    return Translations.load(LOCALES, [language], DOMAIN)


class Texts:
    """One language, for one ledger."""

    def __init__(self, language: str, time_zone: str, currency: str) -> None:
        """`language`: one of LANGUAGES."""
        self.language = language
        self._zone = ZoneInfo(time_zone)
        self._currency = currency
        self._locale = Locale.parse(language)
        self._catalogue = _catalogue(language)

    def say(self, text: str, **values: object) -> str:
        """A sentence with its values."""
        return str(self._catalogue.gettext(text)).format(**values)

    def count(self, one: str, more: str, n: int, **values: object) -> str:
        """A sentence whose form follows from a number, `{n}` in it."""
        found = str(self._catalogue.ngettext(one, more, abs(n)))
        return found.format(n=self.number(n), **values)

    def points(self, n: int) -> str:
        """So many points."""
        return self.count("{n} point", "{n} points", n)

    def number(self, n: int) -> str:
        """A whole number."""
        return str(format_decimal(n, locale=self._locale))

    @property
    def currency_digits(self) -> int:
        """Decimal places of the ledger's currency."""
        return int(get_currency_precision(self._currency))

    def money(self, amount_minor: int) -> str:
        """Minor units of the ledger's currency as money."""
        amount = Decimal(amount_minor).scaleb(-self.currency_digits)
        return str(format_currency(amount, self._currency, locale=self._locale))

    def when(self, moment: datetime) -> str:
        """A moment, to the minute, by the program's clocks."""
        # Translators: a pattern of CLDR (letters have a meaning), not words.
        pattern = self.say("d MMMM y, HH:mm")
        try:
            shown = moment.astimezone(self._zone)
        except OverflowError:  # the last hours of the year 9999
            shown = moment
        return str(format_datetime(shown, pattern, tzinfo=shown.tzinfo, locale=self._locale))

    def by_clock(self, local: datetime) -> datetime:
        """The moment that the program's clocks show so."""
        return local.replace(tzinfo=self._zone) if local.tzinfo is None else local

    def moment(self, text: str) -> str:
        """The same of a moment in RFC 3339."""
        return self.when(datetime.fromisoformat(text))

    def length(self, duration: Duration) -> str:
        """A length of time: years, months, days, and hours of what is less, rounded down."""
        years, months = divmod(duration.months, 12)
        days, seconds = divmod(duration.seconds, DAY_SECONDS)
        days += duration.days
        parts = []
        if years:
            parts.append(self.count("{n} year", "{n} years", years))
        if months:
            parts.append(self.count("{n} month", "{n} months", months))
        if days:
            parts.append(self.count("{n} day", "{n} days", days))
        if seconds >= HOUR_SECONDS or not parts:
            parts.append(self.count("{n} hour", "{n} hours", seconds // HOUR_SECONDS))
        return " ".join(parts)

    def either(self, names: Iterable[str]) -> str:
        """`a, b or c`."""
        return str(format_list(list(names), style="or", locale=self._locale))

    def both(self, names: Iterable[str]) -> str:
        """`a, b, c`."""
        return ", ".join(names)

    def weekday(self, day: str) -> str:
        """`mon` as a word."""
        names = get_day_names("wide", context="stand-alone", locale=self._locale)
        return str(names[WEEKDAYS.index(day)])
