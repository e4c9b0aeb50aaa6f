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
_GRANTS = """
DO $$
DECLARE one record;
BEGIN
  FOR one IN
    SELECT grantee, bool_or(privilege_type = 'INSERT') AS writes FROM information_schema.table_privileges
    WHERE table_schema = current_schema() AND table_name = 'run_rows' AND privilege_type IN ('SELECT', 'INSERT')
    AND grantee <> current_user GROUP BY grantee
  LOOP
    EXECUTE 'GRANT SELECT' || CASE WHEN one.writes THEN ', INSERT, UPDATE, DELETE' ELSE '' END || ' ON under_way TO '
      || CASE one.grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(one.grantee) END;
  END LOOP;
END $$
"""
"""Who may read the runs, or add some, may do so here: listings and pages ask for both."""


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
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_GRANTS)
    op.execute("UPDATE edgekit_schema SET version = 3")
