"""acts of operators"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("cases", sa.Column("suspended_at_ms", sa.BigInteger(), comment="since when somebody wants it suspended"))
    op.add_column("cases", sa.Column("ended_as", sa.String(16), comment="FAILED or TERMINATED, when its workflow did not end it"))
    op.add_column("cases", sa.Column("rerun_of", sa.String(64), comment="the failed case that it goes on with"))
    op.create_table(
        "acts",
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("instance_id", sa.String(64), nullable=False),
        sa.Column("act", sa.String(16), nullable=False, comment="suspend, resume, terminate, purge"),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, comment="asked, done, void"),
        sa.Column("answer", sa.Text(), comment="what came of it"),
        sa.Column("done_at_ms", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_acts")),
    )
    op.create_index(
        "ix_acts_due",
        "acts",
        ["due_at_ms"],
        unique=False,
        sqlite_where=sa.text("due_at_ms IS NOT NULL"),
        postgresql_where=sa.text("due_at_ms IS NOT NULL"),
    )
    op.create_index("ix_acts_instance", "acts", ["instance_id"], unique=False)


def downgrade() -> None:
    op.drop_table("acts")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        for name in ("rerun_of", "ended_as", "suspended_at_ms"):
            batch_op.drop_column(name)
