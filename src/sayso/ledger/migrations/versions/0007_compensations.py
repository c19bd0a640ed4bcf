"""compensations"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OPEN = sa.text("settled_at_ms IS NULL")


def upgrade() -> None:
    op.create_table(
        "compensations",
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.Text(), nullable=False, comment="what was to be undone"),
        sa.Column("undo", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False, comment="the service's words"),
        sa.Column("booking", sa.Text(), comment="what the service had answered to the step, JSON; NULL: not known"),
        sa.Column("failed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("settled_at_ms", sa.BigInteger()),
        sa.Column("settled_by", sa.Text()),
        sa.Column("settled_reason", sa.Text()),
        sa.ForeignKeyConstraint(["instance_id"], ["cases.instance_id"], name=op.f("fk_compensations_instance_id")),
        sa.PrimaryKeyConstraint("instance_id", "step", name=op.f("pk_compensations")),
    )
    op.create_index("ix_compensations_open", "compensations", ["failed_at_ms"], unique=False, sqlite_where=OPEN, postgresql_where=OPEN)


def downgrade() -> None:
    op.drop_index("ix_compensations_open", "compensations", sqlite_where=OPEN, postgresql_where=OPEN)
    op.drop_table("compensations")
