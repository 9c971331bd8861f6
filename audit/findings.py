"""What an audit finds: each difference with its place, what differs, and what to do about it."""

from msgspec import Struct


class Finding(Struct, omit_defaults=True):
    """One thing that is wrong. `code` never changes its meaning (docs/audit.md lists them).

    `position`: the first wrong one of the shard. `table`, `member_id`: whose row it is, where it is
    not the log's. `count`: how many rows of the table and shard differ, the one told included.
    """

    code: str
    shard: int
    what: str
    do: str
    position: int | None = None
    table: str = "ledger.events"
    member_id: str | None = None
    count: int = 1

    @property
    def place(self) -> str:
        """Where, in words."""
        named = [self.table, f"shard {self.shard}"]
        if self.position is not None:
            named.append(f"position {self.position}")
        if self.member_id is not None:
            named.append(f"member {self.member_id}")
        return ", ".join(named)


RESTORE = (
    "Stop the workers. Keep this database as evidence, restore the log from a backup whose"
    " `points audit verify` is clean, and find out who could write as the tables' owner."
)
"""What to do when the log is not what was appended."""

RESTORE_INPUTS = (
    "Stop the workers: a wrong dedupe row lets an input take effect twice, or never. Restore"
    " ledger.inputs from a backup, as far as the log reaches, and find out who could write to it."
)

RESTORE_HEAD = (
    "Stop the workers: nothing can be appended under a wrong head. Restore the head row from a"
    " backup, and find out who could write to it; the log is the truth, the head follows from it."
)


def rebuild(projection: str) -> str:
    """What to do when a read model is not what the log says."""
    return (
        f"Run `points projections rebuild {projection}`: the log is whole, its read model is not."
        " Find out who could write to it."
    )
