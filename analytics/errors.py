"""What can go wrong in an analysis. Each carries a stable code and a sentence for a human."""

from ledger.errors import LedgerError


class AnalysisRefused(LedgerError):
    """An analysis that cannot be made as it was asked; the message says how to ask."""

    code = "analysis_refused"
