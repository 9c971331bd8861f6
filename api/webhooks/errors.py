"""What can be wrong with a webhook. Each carries a stable code and a sentence for a human."""

from ledger.errors import LedgerError


class WebhookRefused(LedgerError):
    """A webhook that cannot be had as it was asked, or a deliverer that cannot run."""

    code = "webhook_refused"
