"""The read model `balances`: what each member has, has had and will have.

Per member one row as of the moment to which the account was settled, with the steps ahead that
settling will yield; the open lots with their dates; and, append-only, what each event changed from
which moment on. A balance as of T is the last step not after T, or, before the account's settled
moment, the sum of the changes not after T (`read.balance_at`, `read.balance_of`).
"""

from ledger.core.lots import Lot
from projections.history import changes_of
from projections.log import Entry
from projections.member import Member
from projections.system import System
from projections.tables import Row, Table, Writes, table
from schemas.decisions import AccountEvent, SystemEvent

BALANCES = table(
    "balances",
    member_id="text",
    shard="int4",
    opened_at="timestamptz",
    settled_to="timestamptz",
    available="int8",
    pending="int8",
    reserved="int8",
    expired="int8",
    granted="int8",
    debt="int8",
    step_at="timestamptz[]",
    step_available="int8[]",
    step_pending="int8[]",
    step_reserved="int8[]",
    step_expired="int8[]",
    step_granted="int8[]",
    step_debt="int8[]",
    status="text",
    merged_into="text",
)
CHANGES = table(
    "balance_changes",
    shard="int4",
    position="int8",
    effective_at="timestamptz",
    member_id="text",
    available="int8",
    pending="int8",
    reserved="int8",
    expired="int8",
    granted="int8",
    debt="int8",
)
LOTS = table(
    "open_lots",
    member_id="text",
    lot="int4",
    rules="text[]",
    source="text",
    granted="int8",
    pending="int8",
    available="int8",
    reserved="int8",
    granted_at="timestamptz",
    activates_at="timestamptz",
    expires_at="timestamptz",
)


class Balances:
    """The read model. It keeps nothing between members."""

    name = "balances"
    tables: tuple[Table, ...] = (BALANCES, CHANGES, LOTS)

    def relevant(self, system: System) -> int:
        """The steps ahead depend on the programs."""
        return system.programs_position

    def note(self, entry: Entry, event: AccountEvent, _member: Member, writes: Writes) -> None:
        """Append what the event's postings changed, by the moment from which it holds."""
        for moment, change in changes_of(event).items():
            if change:
                writes.append(
                    CHANGES,
                    (
                        entry.shard,
                        entry.position,
                        moment,
                        entry.member_id,
                        change.available,
                        change.pending,
                        change.reserved,
                        change.expired,
                        change.granted,
                        change.debt,
                    ),
                )

    def note_system(self, entry: Entry, event: SystemEvent, writes: Writes) -> None:
        """Nothing of the system shard is shown."""

    def show(self, member: Member, system: System, writes: Writes) -> None:
        """Replace the member's row and open lots."""
        new = member.new
        writes.replace(BALANCES, member.member_id, (_row(member, system),), new=new)
        # Lots are immutable: most are the very ones written last time, and stay as they are.
        shown, lots = member.lots_shown, member.account.holdings.lots
        if shown is None:
            rows = [_lot(member, lot) for lot in lots.values()]
            writes.replace(LOTS, member.member_id, rows, new=new)
        else:
            changed = [lot for number, lot in lots.items() if shown.get(number) is not lot]
            gone = [number for number in shown if number not in lots]
            known = [lot.number for lot in changed if lot.number in shown]
            writes.replace_numbered(
                LOTS, member.member_id, [*gone, *known], [_lot(member, lot) for lot in changed]
            )
        member.lots_shown = lots.copy()


def _row(member: Member, system: System) -> Row:
    account = member.account
    now = account.balances()
    assert member.history.opened_at is not None, "a member is shown after its first event"
    return (
        member.member_id,
        member.shard,
        member.history.opened_at,
        member.settled_to,
        now.available,
        now.pending,
        now.reserved,
        now.expired,
        now.granted,
        now.debt,
        *member.ahead(system.programs),
        account.status,
        account.merged_into,
    )


def _lot(member: Member, lot: Lot) -> Row:
    return (
        member.member_id,
        lot.number,
        member.history.lot_rules.get(lot.number, ()),
        lot.source,
        lot.granted,
        lot.pending,
        lot.available,
        lot.reserved,
        lot.granted_at,
        lot.activates_at,
        lot.expires_at,
    )
