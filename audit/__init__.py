"""Questions to the log that must have an exact answer: is it whole, who has what, and why.

May import the schemas, the ledger, the streams and the projections. Nothing here appends.
"""
