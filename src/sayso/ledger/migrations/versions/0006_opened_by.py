"""an index for the foreign key of cases"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_cases_opened_by", "cases", ["opened_by"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_cases_opened_by", "cases")
