"""The requests under which batches of promo codes were made.

Revision ID: 0020
"""

from ledger.migrations import run_sql_beside

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """There is no way back, as for the tables before."""
    raise NotImplementedError("The ledger's tables are not dropped; restore a backup instead.")
