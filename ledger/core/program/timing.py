"""When points become available and when they expire, by the program's activation and expiry.

Pure calendar arithmetic in the program's zone; what it costs is saved where a stretch of a day
knows that all its moments shift alike (see `stretch`).
"""

from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import add, end_of
from ledger.core.program import form as forms
from schemas.decisions import Terms
from schemas.fields import Instant


class Timing(Struct, frozen=True):
    """When points become available and when they expire."""

    activation: forms.Activation
    expiry: forms.Expiry

    @property
    def plain(self) -> bool:
        """Whether nothing can move the moments later: no event is waited for, and no purchase."""
        waits = isinstance(self.activation, forms.ActivateAfter) and self.activation.on is not None
        idle = isinstance(self.expiry, forms.ExpireBy) and self.expiry.after_inactivity is not None
        return not (waits or idle)

    def terms(self, at: Instant, zone: ZoneInfo) -> Terms | None:
        """What can still move the moments of points granted at `at`."""
        if self.plain:
            return None
        idle = after = end = event = ""
        until = 0
        if isinstance(self.expiry, forms.ExpireBy):
            idle = str(self.expiry.after_inactivity or "")
            after, end = str(self.expiry.after or ""), self.expiry.end_of or ""
        activation = self.activation
        if isinstance(activation, forms.ActivateAfter) and activation.on is not None:
            assert activation.within is not None, "a checked program says within what time"
            event, until = activation.on, add(at, activation.within, zone)
        return Terms(idle, event, until, after, end) if event else Terms(idle)

    def moments(self, at: Instant, zone: ZoneInfo) -> tuple[Instant, Instant | None]:
        """(activates_at, expires_at or None for never) of points granted at `at`. Points that wait
        for an event: when they are revoked, and None."""
        activates = at
        if isinstance(self.activation, forms.ActivateAfter):
            if self.activation.within is not None:
                return add(at, self.activation.within, zone) + 1, None
            if self.activation.after is not None:
                activates = add(at, self.activation.after, zone)
        expiry = self.expiry
        if not isinstance(expiry, forms.ExpireBy):
            return activates, None
        if expiry.after_inactivity is not None:
            return activates, max(add(at, expiry.after_inactivity, zone), activates)
        expires = activates if expiry.after is None else add(activates, expiry.after, zone)
        if expiry.end_of is not None:
            expires = end_of(expires, expiry.end_of, zone)
        return activates, expires

    @property
    def to_the_second(self) -> bool:
        """Whether hours or less are added anywhere: then a day's moments need not shift alike."""
        lengths = (
            *(
                (self.activation.after, self.activation.within)
                if isinstance(self.activation, forms.ActivateAfter)
                else ()
            ),
            *(
                (self.expiry.after, self.expiry.after_inactivity)
                if isinstance(self.expiry, forms.ExpireBy)
                else ()
            ),
        )
        return any(length is not None and length.seconds for length in lengths)
