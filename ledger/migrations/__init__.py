"""The database's structure, as Alembic revisions of plain SQL. Run by `ledger.migrate`."""

from pathlib import Path

from alembic import op


def run_sql_beside(revision: str) -> None:
    """Run the SQL file that lies beside a revision's file and has its name."""
    sql = Path(revision).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))
