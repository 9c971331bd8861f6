"""The read models: tables, documented views and functions, and the role that may read them.

Revision ID: 0002
"""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one; `points projections run` then folds the log."""
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))


def downgrade() -> None:
    """Drop the read models; the role stays, since it belongs to the whole server."""
    op.get_bind().exec_driver_sql("DROP SCHEMA read CASCADE")
