"""The ledger's tables and the application's role.

Revision ID: 0001
"""

from ledger.migrations import run_sql_beside

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """There is no way back: the log would be lost."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
