"""Where the input comes from, how far it was read, and why a dead letter was given up.

Revision ID: 0003
"""

from ledger.migrations import run_sql_beside

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """There is no way back: why dead letters were given up would be lost."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
