"""Deciding on member events: of a profile only the outcome of the program's conditions is kept.

A profile never reaches the account or the log; each condition on it has a stable id made of what it
asks (`tag:vip`, `region:north`), and its outcome, true or false, is all that is recorded.
"""

from msgspec import UNSET

from ledger.core.context import Context
from ledger.core.postings import Draft
from ledger.core.program.form import Program, Texts, When
from schemas.decisions import NO_LOT, MemberErased, MemberProfiled
from schemas.inputs import MemberEnrolled, MemberUpdated, Profile
from schemas.inputs import MemberErased as ErasureInput


def profile_conditions(program: Program) -> tuple[str, ...]:
    """The ids of every condition on a profile that the program asks, sorted."""
    found: set[str] = set()
    for segment in program.segments:
        found |= _ids("region", segment.when.region) | _ids("tag", segment.when.tag)
    for rule in program.earn:
        if isinstance(rule.when, When):
            found |= _ids("tag", rule.when.tag)
    return tuple(sorted(found))


def _ids(kind: str, wanted: Texts | None) -> set[str]:
    if wanted is None:
        return set()
    return {f"{kind}:{text}" for text in ((wanted,) if isinstance(wanted, str) else wanted)}


def decide_profile(context: Context, event: MemberEnrolled | MemberUpdated) -> MemberProfiled:
    """The outcomes of the program's conditions on this profile. A key that an update leaves out
    keeps its outcomes; at an enrolment it has none that hold."""
    account, profile = context.account, event.data.profile
    enrolled = isinstance(event, MemberEnrolled)
    known = {} if enrolled else account.profile
    return MemberProfiled(
        **context.head(),
        kind="enrolled" if enrolled else "updated",
        outcomes={
            condition: _holds(condition, profile, known)
            for condition in profile_conditions(context.program.form)
        },
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
        refused_returns=tuple(
            one.returned.return_id for waiting in account.waiting.values() for one in waiting
        ),
    )
