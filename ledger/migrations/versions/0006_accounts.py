"""What an account may do, and into which one it was merged, in the read model of balances.

Revision ID: 0006
"""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))


def downgrade() -> None:
    """There is no way back: the read model would have to be folded anew."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
