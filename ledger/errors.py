"""The ledger's exceptions: one tree, each with a stable code and a sentence that says what to do.

    LedgerError
    ├── StartRefused            nothing was consumed: settings, schema version, another ledger
    ├── ProgramRefused          a program version that cannot be published
    ├── BatchRefused            a call of handle() that breaks its contract (a bug in the caller)
    │   └── OffsetGap           records between the stored offset and this batch are missing
    ├── TakenBefore             an input without a moment of its own came before: give it that one
    ├── DatabaseUnavailable     transient: whether the append happened is not known, try it again
    ├── AppendFailed            the database refused these rows: trying the same again is useless
    ├── LogWentBack             a shard ends before what it was known to hold: commits were lost
    ├── HeadDiffers             a head row is not the end of its shard's log: changed by hand
    ├── InternalErrors          too many inputs of a batch meet a bug of ours: nothing was stored
    ├── AccountDamaged          an account does not fold: its snapshot or its log is wrong
    ├── ClosedDoor              an append by another way than handle()
    ├── WorkerStopped           the worker stops loudly: input lost, a bug, no database for too long
    ├── ChainBroken             the log does not verify: shard, position, what differs
    └── DeadLetterUnavailable   no such dead letter, or it is closed already

An input that cannot be understood or decided raises nothing: it becomes a dead letter, and its
outcome carries code and message. `ledger.core.errors` holds what the pure core raises.
"""


class LedgerError(Exception):
    """Base of all. `code` never changes meaning; `message` is one sentence for a human."""

    code = "ledger_error"

    def __init__(self, message: str, code: str | None = None) -> None:
        self.code = code or type(self).code
        self.message = message
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class StartRefused(LedgerError):
    """The ledger does not start, and has touched nothing."""

    code = "start_refused"


class ProgramRefused(LedgerError):
    """A program version that cannot be published into this ledger."""

    code = "program_refused"


class BatchRefused(LedgerError):
    """`handle()` was called against its contract."""

    code = "batch_refused"


class OffsetGap(BatchRefused):
    """The stored offset is before the batch's predecessor: the records between are not handled."""

    code = "offset_gap"


class TakenBefore(LedgerError):
    """An input whose sender named no moment was taken before, under the same key: its moment is
    that of the first (`Ledger.taken`). Nothing was stored."""

    code = "taken_before"


class DatabaseUnavailable(LedgerError):
    """The database could not be asked, or the end of the append is unknown. The same call again
    finds out what happened, and neither loses nor doubles an input."""

    code = "database_unavailable"


class AppendFailed(LedgerError):
    """PostgreSQL refused the rows of this batch; nothing of it was stored."""

    code = "append_failed"


class LogWentBack(LedgerError):
    """The database lost commits that it had confirmed. What this process remembers is of no use."""

    code = "log_went_back"

    def __init__(self, shard: int, known: int, found: int) -> None:
        super().__init__(
            f"Shard {shard} was known to reach position {known} and ends at {found}: the database"
            " was restored, or failed over to a replica that lagged behind. See which inputs are"
            " missing, then start again: what Kafka still has is taken again from the stored"
            " offsets."
        )


class HeadDiffers(LedgerError):
    """A head row does not say where its shard's log ends. Nothing may be appended to it."""

    code = "head_differs"

    def __init__(self, shard: int, position: int, difference: str) -> None:
        super().__init__(
            f"The head row of shard {shard} is at position {position}, but {difference}: the"
            " database was changed by hand. Nothing was stored; restore it from a backup."
        )


class InternalErrors(LedgerError):
    """More inputs of a batch failed for reasons of ours than the caller allows; none was stored."""

    code = "internal_errors"

    def __init__(self, errors: int, inputs: int, allowed: int) -> None:
        super().__init__(
            f"{errors} of {inputs} records failed with internal errors, {allowed} are allowed now:"
            " none of them was stored, so that a bug does not dead-letter a day. Read the log,"
            " install a corrected version, then start again."
        )


class AccountDamaged(LedgerError):
    """An account cannot be folded: a wrong snapshot (delete it), or a wrong log."""

    code = "account_damaged"

    def __init__(self, shard: int, member_id: str, version: int, difference: str) -> None:
        super().__init__(
            f"Account {member_id} in shard {shard} does not fold at version {version}:"
            f" {difference}. Delete its row in ledger.snapshots and start again; when it still does"
            " not fold, the log itself was changed: restore the database from a backup."
        )


class ClosedDoor(LedgerError):
    """Only `ledger.application.Ledger.handle` appends."""

    code = "closed_door"


class WorkerStopped(LedgerError):
    """The worker stops rather than lose or misjudge input. Codes: input_lost, input_changed,
    topic_recreated, topic_partitions_differ, internal_errors, effects_stuck, database_gone,
    kafka_gone, assignment_split, worker_bug."""

    code = "worker_stopped"


class ChainBroken(LedgerError):
    """The log of `shard` differs from what was appended, first at `position`."""

    code = "chain_broken"

    def __init__(self, shard: int, position: int, difference: str) -> None:
        self.shard = shard
        self.position = position
        self.difference = difference
        super().__init__(f"Shard {shard}, position {position}: {difference}.")


class DeadLetterUnavailable(LedgerError):
    """No such dead letter, or it was retried or discarded already."""

    code = "dead_letter_unavailable"
