"""comparing with the engine"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column(
        "cases",
        sa.Column(
            "check_at_ms", sa.BigInteger(), comment="when it is compared with the engine next; like due_at_ms schedule and lease"
        ),
    )
    op.add_column("cases", sa.Column("checked_at_ms", sa.BigInteger(), comment="when it was compared last"))
    op.add_column("cases", sa.Column("absent_since_ms", sa.BigInteger(), comment="since when the engine does not know it"))
    op.add_column("cases", sa.Column("raise_after", NUMBER, comment="its events behind this number are raised again"))
    op.add_column("cases", sa.Column("finding", sa.Text(), comment="what the comparison found, when something is wrong"))
    op.create_index(
        "ix_cases_check",
        "cases",
        ["check_at_ms"],
        unique=False,
        sqlite_where=sa.text("check_at_ms IS NOT NULL"),
        postgresql_where=sa.text("check_at_ms IS NOT NULL"),
    )
    op.execute("UPDATE cases SET check_at_ms = updated_at_ms WHERE phase = 'running'")


def downgrade() -> None:
    op.drop_index("ix_cases_check", "cases")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        for name in ("finding", "raise_after", "absent_since_ms", "checked_at_ms", "check_at_ms"):
            batch_op.drop_column(name)
