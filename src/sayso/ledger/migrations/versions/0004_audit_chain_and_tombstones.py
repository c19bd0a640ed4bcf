"""audit chain and tombstones"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SEALED, UNSEALED = sa.text("number IS NOT NULL"), sa.text("number IS NULL")


def upgrade() -> None:
    op.create_table(
        "audit_chain",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.Column("key_mark", sa.String(length=16), nullable=False, comment="tells one key from another, and nothing of either"),
        sa.Column("anchored_number", sa.BigInteger(), nullable=False),
        sa.Column("anchored_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_audit_chain")),
    )
    op.create_table(
        "tombstones",
        sa.Column("identity", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of source and id"),
        sa.Column("content_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pruned_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sightings", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("identity", name=op.f("pk_tombstones")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "engine_purges",
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("pruned_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_engine_purges")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("uq_audit_number"), type_="unique")
    op.create_index("ux_audit_number", "audit", ["number"], unique=True, sqlite_where=SEALED, postgresql_where=SEALED)
    op.create_index("ix_audit_unsealed", "audit", ["seq"], unique=False, sqlite_where=UNSEALED, postgresql_where=UNSEALED)


def downgrade() -> None:
    op.drop_index("ix_audit_unsealed", "audit", sqlite_where=UNSEALED, postgresql_where=UNSEALED)
    op.drop_index("ux_audit_number", "audit", sqlite_where=SEALED, postgresql_where=SEALED)
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_unique_constraint(op.f("uq_audit_number"), ["number"])
    op.drop_table("engine_purges")
    op.drop_table("tombstones")
    op.drop_table("audit_chain")
