"""The HTTP API: tills, web shops and the CRM ask and change here; the one door is the ledger's."""
