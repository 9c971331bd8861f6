"""Budgets over all members with the leases that shards hold of them, and promo codes.

Revision ID: 0008
"""

from ledger.migrations import run_sql_beside

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """There is no way back: what is spent of budgets, and which codes are valid, would be lost."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
