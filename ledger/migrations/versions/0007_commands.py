"""Outcomes of commands that are to be told, stock of catalogue rewards, voucher codes.

Revision ID: 0007
"""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))


def downgrade() -> None:
    """There is no way back: which voucher codes were handed out would be lost."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
