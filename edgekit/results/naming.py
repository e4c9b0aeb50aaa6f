"""Which run is meant by what a person types."""

from __future__ import annotations

import re

from sqlalchemy import Connection, and_, or_, select

from edgekit.errors import InputError
from edgekit.results.tables import run_rows

LATEST = "latest"
MAX_ID = 200
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_ID - 1}}}")
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


def can_be_named(run_id: str) -> bool:
    """Whether an id can be typed, and stand in an address and in a file's name as it is; `new_id` makes such ones."""
    return _ID.fullmatch(run_id) is not None and run_id != LATEST


def checked_id(run_id: str) -> str:
    """For a run from elsewhere. Raises InputError E_RUN_ID for an id that could not be typed."""
    if not can_be_named(run_id):
        shown = repr(run_id[:60]) + ("..." if len(run_id) > 60 else "")
        raise InputError(
            f"{shown} cannot be the id of a run: up to {MAX_ID} letters, digits, '.', '_' and '-' can, not '{LATEST}'",
            code="E_RUN_ID",
            hint="give the run another id; edgekit's own are like 20260131-120000123-k3f9q2",
        )
    return run_id


def no_run(run: str) -> InputError:
    """The error for a run that is not there."""
    return InputError(f"no run '{run}' in the results store", code="E_NO_RUN", hint="edgekit results list")
