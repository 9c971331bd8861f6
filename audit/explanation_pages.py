"""A page of an explanation: so many of its stories, with the account's figures on each page."""

from msgspec.structs import replace

from audit.explanation import Explanation

PARTS = ("lots", "owed", "refused", "judged")
"""What is told one after the other, in the order of the words."""


def page_of(told: Explanation, start: int, limit: int) -> tuple[Explanation, bool]:
    """The stories from the `start`-th on, at most `limit`, and whether there are more."""
    kept: dict[str, tuple[object, ...]] = {}
    before, end = 0, start + limit
    for name in PARTS:
        stories: tuple[object, ...] = getattr(told, name)
        kept[name] = stories[max(start - before, 0) : max(end - before, 0)]
        before += len(stories)
    return replace(told, **kept), before > end
