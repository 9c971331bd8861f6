"""The read models: tables, documented views and functions, and the role that may read them.

Revision ID: 0002
"""

from alembic import op

from ledger.migrations import run_sql_beside

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one; `points projections run` then folds the log."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop the read models; the role stays, since it belongs to the whole server."""
    op.get_bind().exec_driver_sql("DROP SCHEMA read CASCADE")
