"""Which run is meant by what a person types."""

from __future__ import annotations

from sqlalchemy import Connection, and_, or_, select

from edgekit.errors import InputError
from edgekit.results.tables import run_rows

LATEST = "latest"
_AFTER_ALL = "\U0010ffff"
"""No id holds this character, so it ends the range of those that begin alike."""


def resolved(connection: Connection, run: str) -> str:
    """The full id for an id, a unique beginning of one, the letters after its last "-", or "latest".

    Raises InputError: E_NO_RUN, E_AMBIGUOUS_RUN.
    """
    column = run_rows.c.id
    if run == LATEST:
        newest = select(column).order_by(run_rows.c.started_s.desc(), column.desc()).limit(1)
        if (found := connection.scalar(newest)) is None:
            raise InputError(
                "the results store is empty", code="E_NO_RUN", hint="measure something: edgekit bench"
            )
        return str(found)
    if not run or "\0" in run:
        raise no_run(run)
    if connection.scalar(select(column).where(column == run)) is not None:
        return run
    match = or_(and_(column >= run, column < run + _AFTER_ALL), run_rows.c.tail == run)
    several = connection.scalars(select(column).where(match).order_by(column).limit(6)).all()
    if not several:
        raise no_run(run)
    if len(several) > 1:
        names = ", ".join(several[:5]) + (", ..." if len(several) > 5 else "")
        raise InputError(f"'{run}' is the beginning of several runs: {names}", code="E_AMBIGUOUS_RUN")
    return str(several[0])


def no_run(run: str) -> InputError:
    """The error for a run that is not there."""
    return InputError(f"no run '{run}' in the results store", code="E_NO_RUN", hint="edgekit results list")
