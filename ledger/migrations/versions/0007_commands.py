"""Outcomes of commands that are to be told, stock of catalogue rewards, voucher codes.

Revision ID: 0007
"""

from ledger.migrations import run_sql_beside

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """There is no way back: which voucher codes were handed out would be lost."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
