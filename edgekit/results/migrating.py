"""Bringing a store of an older edgekit up to date, by Alembic's revisions in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from edgekit.results.tables import HEAD

FIRST = "0001"


def upgrade(connection: Connection) -> None:
    """To the newest revision, in the caller's transaction."""
    if not inspect(connection).has_table("alembic_version"):
        # stores of schema 1 are older than Alembic here
        connection.execute(
            text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:first)"), {"first": FIRST})
    script = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    with EnvironmentContext(
        Config(), script, fn=lambda revision, _: script._upgrade_revs(HEAD, revision)
    ) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
