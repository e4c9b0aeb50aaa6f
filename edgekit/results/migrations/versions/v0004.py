"""What a listing by median latency asks of a run stands in the index of its series, and the series of a run beside its labels:
at a million runs these were tens of thousands of rows, read one by one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_index("runs_by_series", table_name="run_rows")
    op.create_index("runs_by_series", "run_rows", ["series_id", "started_s", "median_latency_us"])
    op.drop_index("runs_by_label", table_name="labels")
    op.add_column("labels", sa.Column("series_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
    op.execute(
        "UPDATE labels SET series_id = (SELECT series_id FROM run_rows WHERE run_rows.key = labels.run_key)"
    )
    op.create_index("runs_by_label", "labels", ["key", "value", "started_s", "series_id"])
    op.execute("UPDATE edgekit_schema SET version = 4")
