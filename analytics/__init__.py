"""Figures over the log: what another program would have given, what is owed, how the program does.

May import the schemas, the ledger, the streams, the projections and the audit. Points and money are
integers here too; only estimates are floats, and nothing here appends.
"""
