"""The worker: chunks from Kafka, merged by time, handed to the ledger's one door.

Faust assigns partitions and carries chunks; the offset that counts lives in PostgreSQL, in the
transaction that appends. Nothing here decides about points, and nothing here may append.
"""
