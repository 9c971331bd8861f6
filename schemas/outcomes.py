"""What a client is told of a command that it sent by Kafka: the topic `command_outcomes`.

One event for each record of the topic `commands`, written by the ledger and keyed by the command's
member. It can come more than once; its `id` is the same then. Meaning of each field:
docs/events.md.
"""

from typing import Literal

from msgspec import Struct

OUTCOME_TYPE = "command.outcome.v1"
"""Its CloudEvents type."""


class CommandRecord(Struct, frozen=True):
    """Where the command lies in the topic `commands`, as Kafka told its producer."""

    partition: int
    offset: int


class BalanceAfter(Struct, frozen=True):
    """The member's points right after the command was decided."""

    available: int
    pending: int
    reserved: int


class CommandOutcomeData(Struct, frozen=True, omit_defaults=True):
    """How one command ended."""

    outcome: Literal["applied", "refused", "duplicate", "dead_lettered"]
    record: CommandRecord
    command_type: str | None = None
    command_source: str | None = None
    command_id: str | None = None
    code: str | None = None
    message: str | None = None
    shard: int | None = None
    position: int | None = None
    balance: BalanceAfter | None = None
    voucher_code: str | None = None


class CommandOutcome(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type",
                     tag=OUTCOME_TYPE):  # fmt: skip
    """Topic `command_outcomes`, written by the ledger. The subject is the command's member."""

    specversion: Literal["1.0"]  # no default: it would be left out
    id: str
    source: str
    subject: str | None = None
    time: str | None = None
    data: CommandOutcomeData
