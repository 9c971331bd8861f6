"""The ledger: decides what an input means for an account and appends the decision to the log."""
