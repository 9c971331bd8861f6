"""Deciding on member events: of a profile only the outcome of the program's conditions is kept.

A profile never reaches the account or the log; each condition on it has a stable id made of what it
asks (`tag:vip`, `region:north`), and its outcome, true or false, is all that is recorded. Outcomes
are those of the version in force and of all later ones that are published, so that a version finds
them when it takes effect.
"""

from itertools import pairwise

from msgspec import UNSET

from ledger.core.account import Account
from ledger.core.context import Context
from ledger.core.postings import Draft
from ledger.core.program.conditions import texts
from ledger.core.program.form import Program, SegmentWhen, Texts, When
from ledger.core.program.timeline import Timeline
from schemas.decisions import NO_LOT, MemberErased, MemberProfiled
from schemas.fields import Instant
from schemas.inputs import MemberEnrolled, MemberUpdated, Profile
from schemas.inputs import MemberErased as ErasureInput


def profile_conditions(program: Program) -> tuple[str, ...]:
    """The ids of every condition on a profile that the program asks, sorted."""
    found: set[str] = set()
    for segment in program.segments:
        found = found.union(*segment_conditions(segment.when))
    for rule in program.earn:
        if isinstance(rule.when, When):
            found |= _ids("tag", rule.when.tag)
    return tuple(sorted(found))


def segment_conditions(when: SegmentWhen) -> tuple[frozenset[str], ...]:
    """What a segment asks of a profile, by the ids of the conditions: of each set at least one must
    hold. Empty when it asks nothing of it."""
    return tuple(
        _ids(kind, wanted)
        for kind, wanted in (("region", when.region), ("tag", when.tag))
        if wanted is not None
    )


def added_conditions(programs: Timeline, version: str) -> tuple[str, ...]:
    """The conditions on a profile that a version asks and the one before it did not. None are those
    of a first version: before it no profile was taken."""
    forms = [(program.version, program.form) for _, program in programs.versions]
    for (_, before), (name, form) in pairwise(forms):
        if name == version:
            return tuple(sorted(set(profile_conditions(form)) - set(profile_conditions(before))))
    return ()


def _ids(kind: str, wanted: Texts | None) -> frozenset[str]:
    return frozenset(f"{kind}:{text}" for text in texts(wanted) or ())


def _asked_from(programs: Timeline, at: Instant) -> tuple[str, ...]:
    """The conditions of the version in force at `at` and of those after it."""
    found = set(profile_conditions(programs.at(at).form))
    later = (program.form for start, program in programs.versions if start > at)
    return tuple(sorted(found.union(*map(profile_conditions, later))))


def decide_profile(context: Context, event: MemberEnrolled | MemberUpdated) -> MemberProfiled:
    """The outcomes of the conditions on this profile. A key that an update leaves out keeps its
    outcomes; at an enrolment it has none that hold."""
    account, profile = context.account, event.data.profile
    enrolled = isinstance(event, MemberEnrolled)
    known = {} if enrolled else account.profile
    return MemberProfiled(
        **context.head(),
        kind="enrolled" if enrolled else "updated",
        outcomes={
            condition: _holds(condition, profile, known)
            for condition in _asked_from(context.programs, context.at)
        },
    )


def decide_recomputed(
    account: Account, profile: Profile, at: Instant, programs: Timeline
) -> MemberProfiled | None:
    """The outcomes on the profile as it is known, if they differ from those recorded. `at`: the
    moment from which the profile is as it is. Nothing settles: the past has not changed."""
    outcomes = {c: _holds(c, profile, {}) for c in _asked_from(programs, at)}
    same = all(account.profile.get(c, False) == holds for c, holds in outcomes.items())
    if account.status in ("erased", "merged") or same:
        return None
    return MemberProfiled(
        occurred_at=at,
        program=programs.at(at).version,
        kind="recomputed",
        outcomes=outcomes,
    )


def _holds(condition: str, profile: Profile, known: dict[str, bool]) -> bool:
    kind, _, text = condition.partition(":")
    value = profile.tags if kind == "tag" else profile.region
    if value is UNSET:
        return known.get(condition, False)
    if value is None:
        return False
    return text in value if isinstance(value, tuple) else text == value


def decide_erasure(context: Context, event: ErasureInput) -> MemberErased:
    """Forfeit whatever there is, debt included: the account ends empty."""
    account = context.account
    draft = Draft(account.holdings)
    held = draft.held
    for number, lot in account.holdings.lots.items():
        for name, points in (
            ("pending", lot.pending),
            ("available", lot.available),
            ("reserved", lot.reserved),
        ):
            if points:
                draft.move(name, "revoked", points, number, context.at)
    if held.debt:
        draft.move("revoked", "available", held.debt, NO_LOT, context.at)
    return MemberErased(
        **context.head(),
        postings=tuple(draft.postings),
        reason=event.data.reason,
        refused_returns=tuple(one.name for waiting in account.waiting.values() for one in waiting),
    )
