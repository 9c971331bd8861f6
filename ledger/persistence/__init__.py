"""PERSISTENCE_MODULE of the `eventsourcing` library: its interfaces over our tables.

The factory hands out recorders that read the sharded log. None of them writes: rows are appended by
`ledger.append` in the transaction that also moves heads, offsets and dedupe rows.
"""

from ledger.persistence.factory import Factory

__all__ = ["Factory"]
