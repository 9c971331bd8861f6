"""Budgets over all members with the leases that shards hold of them, and promo codes.

Revision ID: 0008
"""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))


def downgrade() -> None:
    """There is no way back: what is spent of budgets, and which codes are valid, would be lost."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
