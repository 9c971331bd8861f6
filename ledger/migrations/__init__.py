"""The database's structure, as Alembic revisions of plain SQL. Run by `ledger.migrate`."""
