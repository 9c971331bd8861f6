"""What an account may do, and into which one it was merged, in the read model of balances.

Revision ID: 0006
"""

from ledger.migrations import run_sql_beside

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """There is no way back: the read model would have to be folded anew."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
