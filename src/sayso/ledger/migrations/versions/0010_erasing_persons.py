"""erasing persons"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("salts", sa.Text(), comment="JSON: of each personal field that was not erased"))
    op.add_column("audit", sa.Column("commitments", sa.Text(), comment="JSON: what the seal covers in place of the personal fields"))
    op.add_column("events", sa.Column("redacted_at_ms", sa.BigInteger(), comment="since when a person is erased from its bytes"))


def downgrade() -> None:
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_column("redacted_at_ms")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_column("commitments")
        batch_op.drop_column("salts")
