"""Refused calls in the audit trail, so that whoever knocks a million times does not fill the disk.

The first of its kind is written when it comes; those alike are counted and written as one row when
the window ends. Kinds beyond the bound are counted together. Callers that are known have a bound of
their own, so that a crowd of strangers cannot hide what they do.
"""

from msgspec import Struct
from msgspec.structs import replace

from api.access.trail import Note, Trail, now

WINDOW_SECONDS = 60.0
"""How long calls alike are counted before they are written."""

KINDS_MAX = 100
"""Different refusals of one window, of known callers and of strangers each: with the rows of their
counts at most 400 rows a minute, some 100 bytes each."""

Kind = tuple[str | None, str | None, str | None, str | None]


class _Counted(Struct):
    note: Note
    more: int = 0


class Refusals:
    """Counts refusals. `flush` is called when a window ends."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._kinds: dict[bool, dict[Kind, _Counted]] = {True: {}, False: {}}
        self._others: dict[bool, int] = {True: 0, False: 0}

    def refused(self, note: Note) -> None:
        """Take note of one refusal."""
        known = note.who is not None
        kinds = self._kinds[known]
        kind = (note.who, note.address, note.operation, note.code)
        counted = kinds.get(kind)
        if counted is not None:
            counted.more += 1
        elif len(kinds) < KINDS_MAX:
            kinds[kind] = _Counted(note)
            self._trail.add(note)
        else:
            self._others[known] += 1

    def flush(self) -> None:
        """Write what was counted, and begin a new window."""
        at = now()
        for known, kinds in self._kinds.items():
            for counted in kinds.values():
                if counted.more:
                    self._trail.add(
                        replace(
                            counted.note, at=at, path=None, correlation_id=None, count=counted.more
                        )
                    )
            kinds.clear()
            if self._others[known]:
                code = "others_known" if known else "others_unknown"
                self._trail.add(Note(at=at, kind="refused", code=code, count=self._others[known]))
                self._others[known] = 0
