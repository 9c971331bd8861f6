"""What can go wrong in an audit. Each carries a stable code and a sentence for a human."""

from ledger.errors import LedgerError


class AuditRefused(LedgerError):
    """A question that cannot be answered as it was asked; the message says how to ask."""

    code = "audit_refused"
