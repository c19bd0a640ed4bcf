"""stages of approvals"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("votes", sa.Text(), comment="JSON list: who decided what, in whose place; NULL: no policy"))
    op.add_column("cases", sa.Column("amended", sa.Text(), comment="JSON: its request and its approval plan, since it was amended"))


def downgrade() -> None:
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.drop_column("amended")
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_column("votes")
