"""Where a process can be made to die, so that its recovery can be shown instead of believed.

`crash_point(name)` stands between two steps of an append, of publishing, of folding, and does
nothing. Only where the setting POINTS_CRASH_AT names that point does the process kill itself there,
as a loss of power would: no handler runs, nothing is flushed, no connection is closed. Every point
is listed here, stands in one place of the code, and has a test that dies at it and recovers. It
must never do anything else, and cost next to nothing.
"""

import os
import re
import signal
from collections.abc import Mapping
from typing import NamedTuple

CRASH_POINTS: Mapping[str, str] = {
    # --- an append, in its order (ledger.application, ledger.append) ----------------------------
    "append.before_lock": "decided, no lock taken",
    "append.after_streams_begun": "rows of new topic-partitions created, each at its predecessor",
    "append.after_lock": "stream rows and heads locked",
    "append.after_decided_again": "inputs of moved heads decided again, under the lock",
    "append.after_stock_locked": "rows of claimed rewards locked",
    "append.after_numbering": "positions given, nothing written",
    "append.after_retry_taken": "a retried dead letter closed, its event not written",
    "append.after_released": "counts of waiting returns moved",
    "append.after_copy_events": "events copied",
    "append.after_copy_inputs": "dedupe rows copied",
    "append.after_copy_dead_letters": "dead letters copied",
    "append.after_stock_given": "units counted and voucher codes handed out",
    "append.before_commit": "heads, counts and offsets moved",
    "append.commit_sent": "COMMIT sent, its answer not read",
    "append.after_commit": "COMMIT confirmed, the cache not told",
    "append.after_cache": "cache told, the caller not",
    # --- budgets over all members (ledger.budgets) ----------------------------------------------
    "budget.after_drawn": "a budget drawn on for a shard, its inputs not decided again",
    "budget.before_called_back": "leases called back, not committed",
    "budget.after_called_back": "leases called back, the append not begun again",
    # --- promo codes (ledger.code_files) --------------------------------------------------------
    "codes.after_copied": "codes on disk and copied, not committed",
    "codes.after_commit": "codes valid, their file without its name",
    "notify.before_send": "about to wake the readers",
    # --- a worker's own steps (streams) ---------------------------------------------------------
    "worker.before_seek": "partitions assigned and stored offsets checked, not sought",
    "worker.after_seek": "sought, nothing fetched",
    "worker.after_append": "an append done, the partition's task not told",
    "worker.before_group_commit": "about to tell Kafka how far the group is",
    "worker.after_group_commit": "Kafka was told",
    "effects.before_produce": "effects read from the log, none sent",
    "effects.after_send": "effects handed to the producer, not confirmed",
    "effects.after_produce": "confirmed by Kafka, the cursor not moved",
    "effects.after_cursor": "the cursor moved",
    "outcomes.before_produce": "outcomes of commands read, none sent",
    "outcomes.after_send": "outcomes handed to the producer, not confirmed",
    "outcomes.after_produce": "confirmed by Kafka, not forgotten",
    "outcomes.after_forgotten": "their rows deleted",
    "scheduler.before_settle": "due accounts found, not settled",
    "scheduler.after_settle": "a page of due accounts settled",
    # --- the system shard (ledger.system, ledger.recompute) -------------------------------------
    "publish.after_lock": "all heads locked to publish a program version",
    "publish.after_copy": "a system event copied, the system head not moved",
    "publish.before_commit": "the system head moved",
    "publish.after_commit": "the version in force, profiles not looked at again",
    "publish.after_page": "a page of profiles looked at again",
    # --- creating (ledger.migrate, ledger.create, cli.init) -------------------------------------
    "init.before_migrated": "tables made, not committed",
    "init.after_migrated": "tables made, no topics",
    "init.after_topics": "topics made, no ledger",
    "init.after_partitions": "the shards' tables made",
    "init.before_created": "first events and heads written, not committed",
    "init.after_created": "the ledger made, nobody told",
    # --- read models (projections) --------------------------------------------------------------
    "fold.after_lock": "shards locked, nothing folded",
    "fold.after_rows": "rows of the read models written, the positions not",
    "fold.before_commit": "positions written",
    "fold.after_commit": "COMMIT confirmed, the next batch not begun",
    # --- a read model built anew beside the one that is read (projections.rebuild) ---------------
    "rebuild.after_created": "tables made beside, or found, nothing folded",
    "rebuild.before_page": "a page of accounts folded, not committed",
    "rebuild.after_page": "a page committed, the next not begun",
    "rebuild.after_pages": "all shards gone over, no indexes",
    "rebuild.after_indexed": "indexes made, what came meanwhile not folded",
    "rebuild.after_caught_up": "caught up, not compared",
    "rebuild.after_compared": "compared, nothing exchanged",
    "rebuild.before_switched": "tables exchanged, not committed",
    "rebuild.after_switched": "the exchange committed, nobody told",
    # --- the log folded beside the read models to compare them (audit.replay) -------------------
    "replay.after_folded": "all members folded, nothing compared",
    "replay.after_compared": "compared, the scratch schema not dropped",
    # --- the change feeds (analytics.feeds) ------------------------------------------------------
    "feeds.before_produce": "changes read, none sent",
    "feeds.after_send": "changes handed to the producer, not confirmed",
    "feeds.after_produce": "confirmed by Kafka, the feeds' positions not moved",
    "feeds.after_cursor": "the feeds' positions moved",
    # --- an export (analytics.export) ------------------------------------------------------------
    "export.after_part": "a file written and synced, without its name",
    "export.after_file": "a file has its name, the manifest does not know it",
    "export.before_manifest": "files written, the manifest not",
}
"""Each point and what has been done when it is reached."""

_ARMED = re.compile(r"(?P<name>[a-z_.]+)(:(?P<nth>[1-9][0-9]{0,8}))?")


class CrashAt(NamedTuple):
    """At which point to die, and at which pass of it (1 is the first)."""

    name: str
    nth: int


_armed: CrashAt | None = None
_passes = 0


def parse(text: str) -> CrashAt:
    """A setting like `append.before_commit:3`. Raises ValueError with a sentence."""
    found = _ARMED.fullmatch(text)
    if found is None or found["name"] not in CRASH_POINTS:
        raise ValueError(
            f"{text!r} is no crash point: write NAME or NAME:N (the Nth pass) with a name of"
            " docs/reliability.md, or leave it unset"
        )
    return CrashAt(found["name"], int(found["nth"] or 1))


def arm(text: str | None) -> None:
    """Die where the setting says, from now on; None: nowhere. Raises ValueError."""
    global _armed, _passes
    _armed = None if text is None else parse(text)
    _passes = 0


def crash_point(name: str) -> None:
    """The process dies here when this pass of `name` is the one armed."""
    if _armed is not None and _armed.name == name:
        _pass(_armed)


def armed_at(name: str) -> bool:
    """Whether the process is to die at this point, now or later: for steps that are taken only
    then."""
    return _armed is not None and _armed.name == name


def _pass(armed: CrashAt) -> None:
    global _passes
    _passes += 1
    if _passes == armed.nth:
        os.write(2, f"crash point {armed.name}:{armed.nth}: killed as asked\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
