"""What the earn rules of a program ask about a member that no account holds: tags, birthdays,
segments.

A profile never reaches the log. Of it a decision knows only outcomes: which of the tags asked the
member has, within which of the birthday windows asked the moment lies, in which of the segments
asked the member is. They are facts, copied onto the decision's event (invariant 9). A program that
asks nothing has no `Asked`, and nothing is looked up for it.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from ledger.core.calendar import local
from ledger.core.program.form import BirthdayWindow, EarnRule, Texts, When
from schemas.decisions import Facts
from schemas.fields import Instant

LEAP_DAY = (2, 29)


class Asked(Struct, frozen=True):
    """What any rule asks, each once and sorted."""

    tags: tuple[str, ...]
    birthdays: tuple[BirthdayWindow, ...]
    segments: tuple[str, ...]

    @property
    def outside(self) -> bool:
        """Whether it takes a look beyond the account: tags are among what the account keeps."""
        return bool(self.birthdays or self.segments)

    def with_tags(self, facts: Facts, profile: Mapping[str, bool]) -> Facts:
        """The facts, and which of the tags asked hold by the recorded outcomes of the profile."""
        if not self.tags:
            return facts
        return replace(facts, tags=tuple([t for t in self.tags if profile.get(f"tag:{t}")]))


def asked_by(rules: Iterable[EarnRule]) -> Asked | None:
    """What the rules ask; None for nothing."""
    whens = [rule.when for rule in rules if isinstance(rule.when, When)]
    windows = {window_id(w.birthday): w.birthday for w in whens if w.birthday is not None}
    asked = Asked(
        _all(when.tag for when in whens),
        tuple(windows[name] for name in sorted(windows)),
        _all(when.segment for when in whens),
    )
    return asked if asked.tags or asked.outside else None


def _all(named: Iterable[Texts | None]) -> tuple[str, ...]:
    found: set[str] = set()
    for one in named:
        found.update((one,) if isinstance(one, str) else one or ())
    return tuple(sorted(found))


def window_id(window: BirthdayWindow) -> str:
    """A birthday window's name in facts: `-7+14` is 7 days before to 14 days after."""
    return f"-{window.days_before}+{window.days_after}"


def birthday_holds(window: BirthdayWindow, birthday: date, at: Instant, zone: ZoneInfo) -> bool:
    """Whether the local day of `at` lies in the window around any year's birthday. The year of
    birth does not matter; a birthday on 29 February is on 28 February in common years."""
    today = local(at, zone).date()
    first = today - timedelta(days=window.days_after)
    last = today + timedelta(days=window.days_before)
    return any(first <= _in_year(birthday, y) <= last for y in range(first.year, last.year + 1))


def _in_year(birthday: date, year: int) -> date:
    try:
        return birthday.replace(year=year)
    except ValueError:
        assert (birthday.month, birthday.day) == LEAP_DAY
        return date(year, 2, 28)


Tested = Callable[[Facts], bool]


def tests_of_member(when: When) -> list[Tested]:
    """The conditions of a `when` on what a decision knows of the member. Where nothing is known,
    none holds."""
    found: list[Tested] = []
    if when.tag is not None:
        tags = frozenset(_all([when.tag]))
        found.append(lambda facts: not tags.isdisjoint(facts.tags or ()))
    if when.segment is not None:
        segments = frozenset(_all([when.segment]))
        found.append(lambda facts: not segments.isdisjoint(facts.segments or ()))
    if when.birthday is not None:
        window = window_id(when.birthday)
        found.append(lambda facts: window in (facts.birthdays or ()))
    return found
