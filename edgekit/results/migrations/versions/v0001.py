"""The first stores: SQLite files, made before there were revisions. Nothing to do."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    pass
