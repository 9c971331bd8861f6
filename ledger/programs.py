"""The program versions of the ledger, read from the system shard: replay needs no other table.

A version is in force by its `effective_from`. It may be published only for a moment after all that
exists: later than the last version's beginning, and later than everything decided so far, so that
no decision in the log was made under another program than a reader of the log would expect.
"""

from collections.abc import Iterable, Sequence

from msgspec import Raw
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ledger.core.calendar import format_instant
from ledger.core.catalogue import is_counted
from ledger.core.program.canonical import canonical, from_canonical
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.form import CatalogueReward, Program
from ledger.core.program.promo_codes import normal
from ledger.core.program.timeline import Timeline
from ledger.errors import LedgerError, ProgramRefused
from ledger.identity import Identity
from ledger.sharding import SYSTEM_SHARD
from schemas.decisions import ProgramPublished
from schemas.fields import Instant
from schemas.log_events import decode_event

_PUBLISHED = """
SELECT position, payload FROM ledger.events
WHERE shard = %s AND position > %s AND type = 'ProgramPublished' ORDER BY position
"""


PREFIX_MIN = 4
"""Fewest characters that may stand for a version: fewer name several by chance."""


def version_named(timeline: Timeline, prefix: str) -> Compiled:
    """The version whose name begins with `prefix`. Raises LedgerError (unknown_version)."""
    found = [each for _, each in timeline.versions if each.version.startswith(prefix)]
    if len(prefix) < PREFIX_MIN or not found:
        message = (
            f"{prefix} is neither a file nor at least {PREFIX_MIN} characters of a published "
            "version; see `points program list`"
        )
        raise LedgerError(message, "unknown_version")
    if len(found) > 1:
        raise LedgerError(
            f"{prefix} begins {len(found)} versions; write more of it", "unknown_version"
        )
    return found[0]


class Programs:
    """The versions published, up to a position of the system shard. `budgets`: the ids of
    those that rules and surveys of any of them name; `limited`: of each fixed promo code (normal
    form) the budgets by which its uses are counted; `has_codes`: whether any has series of promo
    codes; `counted`: the rewards of which any counts the units."""

    def __init__(self) -> None:
        self.position = 0
        self.timeline = Timeline(())
        self.budgets: tuple[str, ...] = ()
        self.limited: dict[str, frozenset[str]] = {}
        self.has_codes = False
        self.counted: frozenset[str] = frozenset()
        self._versions: list[tuple[Instant, Compiled]] = []

    @property
    def versions(self) -> list[tuple[Instant, Compiled]]:
        """The versions in the order in which they were published."""
        return list(self._versions)

    @property
    def has_budgets(self) -> bool:
        """Whether there is anything that is counted over all members."""
        return bool(self.budgets or self.limited)

    def budgets_asked(self, codes: Iterable[str]) -> tuple[str, ...]:
        """The ids of the budgets that purchases which name these codes may use, ascending. Of many
        promo codes, hardly any is ever named."""
        if not self.limited:
            return self.budgets
        named = [self.limited.get(normal(code), frozenset()) for code in codes]
        return tuple(sorted(frozenset(self.budgets).union(*named)))

    async def catch_up(self, connection: AsyncConnection[TupleRow], position: int) -> bool:
        """Read what was published up to the system shard's `position`; whether anything was."""
        cursor = await connection.execute(_PUBLISHED, (SYSTEM_SHARD, self.position))
        rows = await cursor.fetchall()
        # Another task may have read the same meanwhile; positions tell what is new to us.
        fresh = [(at, payload) for at, payload in rows if at > self.position]
        for _, payload in fresh:
            event = decode_event(payload)
            assert isinstance(event, ProgramPublished)
            program = compile_program(from_canonical(bytes(event.content)), event.version)
            self._versions.append((event.effective_from, program))
        self.position = max([self.position, position, *(at for at, _ in fresh)])
        if fresh:
            self.timeline = Timeline(self._versions)
            named = {budget.id for _, program in self._versions for budget in program.form.budgets}
            self.budgets = tuple(sorted(named))
            self.limited = {}
            for _, program in self._versions:
                for word, of in program.words.items():
                    if of.uses is not None:
                        self.limited[word] = self.limited.get(word, frozenset()) | {of.budget}
            self.has_codes = any(program.series for _, program in self._versions)
            self.counted = frozenset(
                reward.id
                for _, program in self._versions
                for reward in program.rewards.values()
                if is_counted(reward)
            )
        return bool(fresh)


def published(program: Program, compiled: Compiled) -> ProgramPublished:
    """The event that puts a version into force."""
    return ProgramPublished(
        occurred_at=compiled.effective_from,
        program=compiled.version,
        version=compiled.version,
        effective_from=compiled.effective_from,
        content=Raw(canonical(program)),
    )


def check_publishable(
    compiled: Compiled,
    identity: Identity,
    versions: Sequence[tuple[Instant, Compiled]],
    decided_to: Instant | None,
) -> None:
    """Raises ProgramRefused, with a sentence, unless the version may follow `versions`.

    `decided_to`: the latest moment for which anything was decided, None if nothing was.
    """
    form = compiled.form
    for name, mine, theirs, code in (
        ("program", form.program, identity.program_id, "other_program"),
        ("currency", form.currency, identity.currency, "other_currency"),
        ("time_zone", form.time_zone, identity.time_zone, "other_time_zone"),
    ):
        if mine != theirs:
            raise ProgramRefused(
                f"{name} is {mine}, but this ledger was created with {theirs} and keeps it for"
                " ever: correct the file, or create another ledger.",
                code,
            )
    changed = _other_kind(compiled, versions)
    if changed is not None:
        reward, known = changed
        raise ProgramRefused(
            f"reward {reward.id} is a {reward.kind}, but a {known.kind} in an earlier version: give"
            " the new one an id of its own.",
            "kind_changed",
        )
    start = format_instant(compiled.effective_from)
    if versions:
        last = max(at for at, _ in versions)
        if compiled.effective_from <= last:
            raise ProgramRefused(
                f"effective_from is {start}, not after {format_instant(last)}, when the version"
                " published last begins: choose a later moment.",
                "not_after_last_version",
            )
    if decided_to is not None and compiled.effective_from <= decided_to:
        raise ProgramRefused(
            f"effective_from is {start}, but purchases up to {format_instant(decided_to)} are"
            " decided already and stay as they are: choose a later moment.",
            "already_decided",
        )


def _other_kind(
    compiled: Compiled, versions: Sequence[tuple[Instant, Compiled]]
) -> tuple[CatalogueReward, CatalogueReward] | None:
    """A reward, and the one of its id in an earlier version, of another kind. What is given is
    counted over all versions, and of a voucher the count is the number of its code: after gifts,
    that many codes would never be handed out."""
    for reward in compiled.rewards.values():
        for _, version in versions:
            known = version.rewards.get(reward.id)
            if known is not None and known.kind != reward.kind:
                return reward, known
    return None
