"""A table of the measurements that are under way. The first revision that databases in PostgreSQL go through."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_WORDS = (
    *("project", "model", "version", "recipe", "profile"),
    *("device", "device_model", "soc", "abi", "runtime"),
)


def upgrade() -> None:
    op.create_table(
        "under_way",
        sa.Column("key", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=name not in ("model", "device")) for name in _WORDS),
        sa.Column("started_at", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("started_s", "heard_s", "until_s")),
        sa.Column("done", sa.Integer),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("median_us", sa.Double),
    )
    op.execute("UPDATE edgekit_schema SET version = 3")
