"""A voucher code is that of one reward; commands whose key took effect twice are found.

Revision ID: 0009
"""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))


def downgrade() -> None:
    """There is no way back, as for the tables before."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
