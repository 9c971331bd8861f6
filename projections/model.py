"""What a read model is: its tables, what it notes of each event, what it shows of each member.

Both hooks are pure functions of the log's contents; they write into a `Writes`, never into the
database, and never decide anything.
"""

from typing import Protocol, runtime_checkable

from projections.log import Entry
from projections.member import Member
from projections.system import System
from projections.tables import Table, Writes
from schemas.decisions import AccountEvent, SystemEvent


class ReadModel(Protocol):
    """One read model. `name` is its key in read.positions."""

    @property
    def name(self) -> str:
        """The projection's name."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All its tables: what a rebuild empties."""

    def relevant(self, system: System) -> int:
        """Position of the newest system event that members' rows depend on."""

    def note(self, entry: Entry, event: AccountEvent, member: Member, writes: Writes, /) -> None:
        """Append what one event adds. `member` has not folded the event yet."""

    def note_system(self, entry: Entry, event: SystemEvent, writes: Writes) -> None:
        """Append what one event of the system shard adds."""

    def show(self, member: Member, system: System, writes: Writes) -> None:
        """Replace the member's rows by what its folded state says."""


@runtime_checkable
class CountsAnonymous(Protocol):
    """What a read model is in addition, if it counts purchases of nobody."""

    def note_anonymous(self, entry: Entry, event: AccountEvent, writes: Writes, /) -> None:
        """Append what one event of an account that is no member's adds."""
