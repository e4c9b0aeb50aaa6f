"""Alembic's revisions of the store. Each stands alone: it names tables as they were then, never as they are now."""
