"""treatment of early, late and repeated events; claim check"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HELD = sa.text("state = 'held'")


def upgrade() -> None:
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "on_late",
                sa.Text(),
                nullable=True,
                comment="TYPE to TOPIC: what is published if it comes too late, as its binding said",
            )
        )
        batch_op.add_column(sa.Column("on_duplicate", sa.String(length=16), nullable=True, comment="alarm, as its binding said"))
        batch_op.add_column(
            sa.Column(
                "answered_by",
                sa.String(length=200),
                nullable=True,
                comment="id of the event that was published because it came too late",
            )
        )
        batch_op.add_column(
            sa.Column("held_source", sa.String(length=64), nullable=True, comment="SHA-256 of its source, once it has been held")
        )
        batch_op.create_index("ix_events_held", ["held_source"], unique=False, sqlite_where=HELD, postgresql_where=HELD)
    op.create_table(
        "claims",
        sa.Column("instance_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of the text; the reference names it"),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "digest", name=op.f("pk_claims")),
    )


def downgrade() -> None:
    op.drop_table("claims")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index("ix_events_held", sqlite_where=HELD, postgresql_where=HELD)
        for name in ("held_source", "answered_by", "on_duplicate", "on_late"):
            batch_op.drop_column(name)
