"""When points become available and when they expire, by the program's activation and expiry.

Pure calendar arithmetic in the program's zone; what it costs is saved where a stretch of a day
knows that all its moments shift alike (see `stretch`).
"""

from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import add, end_of
from ledger.core.program import form as forms
from schemas.fields import Instant


class Timing(Struct, frozen=True):
    """When points become available and when they expire."""

    activation: forms.Activation
    expiry: forms.Expiry

    def moments(self, at: Instant, zone: ZoneInfo) -> tuple[Instant, Instant | None]:
        """(activates_at, expires_at or None for never) of points granted at `at`."""
        activates = at
        if isinstance(self.activation, forms.ActivateAfter) and self.activation.after is not None:
            activates = add(at, self.activation.after, zone)
        expiry = self.expiry
        if not isinstance(expiry, forms.ExpireBy):
            return activates, None
        expires = activates if expiry.after is None else add(activates, expiry.after, zone)
        if expiry.end_of is not None:
            expires = end_of(expires, expiry.end_of, zone)
        return activates, expires

    @property
    def to_the_second(self) -> bool:
        """Whether hours or less are added anywhere: then a day's moments need not shift alike."""
        lengths = (
            self.activation.after if isinstance(self.activation, forms.ActivateAfter) else None,
            self.expiry.after if isinstance(self.expiry, forms.ExpireBy) else None,
        )
        return any(length is not None and length.seconds for length in lengths)
