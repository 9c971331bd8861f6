"""What a caller may do (scopes), and which of it belongs to a person's job (roles)."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """One permission; every operation asks for exactly one."""

    PREVIEW = "preview"
    """What a basket would earn, and what points may pay of it."""
    REDEEM = "redeem"
    """Reserve, confirm, cancel, redeem, donate, claim."""
    PURCHASES = "purchases"
    """Purchases and returns."""
    INGEST = "ingest"
    """CloudEvents in batches, into Kafka."""
    MEMBERS_READ = "members:read"
    """Balance, lots, history, explanation, tier, segments of every member."""
    MEMBERS_WRITE = "members:write"
    """Enrol, update; referrals, activities and surveys."""
    MEMBERS_STANDING = "members:standing"
    """Freeze, unfreeze, close, merge; hold a tier."""
    MEMBERS_ERASE = "members:erase"
    TRANSFER = "transfer"
    ADJUST = "adjust"
    PROGRAMS_READ = "programs:read"
    PROGRAMS_WRITE = "programs:write"
    """Check, back-test, propose for publication; generate promo codes."""
    PROPOSALS_READ = "proposals:read"
    """What waits, or waited, for a second person."""
    APPROVE = "approve"
    """Let a proposal of somebody else come into force, or turn it down."""
    REPORTS_READ = "reports:read"
    """KPIs and liability."""
    OPERATIONS_READ = "operations:read"
    OPERATIONS_WRITE = "operations:write"
    """Dead letters, rebuilds."""
    WEBHOOKS = "webhooks"
    """Subscriptions to webhooks, and their deliveries."""
    AUDIT_READ = "audit:read"
    """The audit trail, verification and checkpoints."""
    ACCESS_ADMIN = "access:admin"
    """API keys."""


_VIEWER = frozenset((Scope.MEMBERS_READ, Scope.PROGRAMS_READ, Scope.REPORTS_READ))

ROLES: dict[str, frozenset[Scope]] = {
    "viewer": _VIEWER,
    "agent": _VIEWER
    | {
        Scope.PREVIEW,
        Scope.REDEEM,
        Scope.PURCHASES,
        Scope.MEMBERS_WRITE,
        Scope.MEMBERS_STANDING,
        Scope.TRANSFER,
        Scope.ADJUST,
        Scope.PROPOSALS_READ,
    },
    "marketer": _VIEWER | {Scope.PREVIEW, Scope.PROGRAMS_WRITE, Scope.PROPOSALS_READ},
    "approver": _VIEWER | {Scope.PROPOSALS_READ, Scope.APPROVE},
    "operator": _VIEWER
    | {
        Scope.OPERATIONS_READ,
        Scope.OPERATIONS_WRITE,
        Scope.MEMBERS_ERASE,
        Scope.WEBHOOKS,
        Scope.ACCESS_ADMIN,
    },
    "auditor": _VIEWER | {Scope.PROPOSALS_READ, Scope.OPERATIONS_READ, Scope.AUDIT_READ},
}
"""The scopes of each role."""


def scopes_of(roles: Iterable[str], scopes: Iterable[str] = ()) -> frozenset[Scope]:
    """What these roles and single scopes allow together. Raises KeyError, ValueError for unknown
    ones."""
    found = {Scope(scope) for scope in scopes}
    for role in roles:
        found |= ROLES[role]
    return frozenset(found)
