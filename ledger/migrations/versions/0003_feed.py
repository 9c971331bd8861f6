"""Where the input comes from, how far it was read, and why a dead letter was given up.

Revision ID: 0003
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))


def downgrade() -> None:
    """There is no way back: why dead letters were given up would be lost."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
