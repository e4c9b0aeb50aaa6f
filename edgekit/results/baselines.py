"""Which run is the baseline of a model, a device profile and a runtime."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, inspect, select

from edgekit.errors import InputError
from edgekit.records import Record
from edgekit.results.tables import baselines


def key_of(record: Record) -> dict[str, str]:
    """What a baseline is kept under."""
    return {
        "model_name": record.model.name,
        "profile": record.profile.name if record.profile is not None else "",
        "runtime": record.runtime.name,
    }


def refuse_invalid(record: Record) -> None:
    """Numbers that do not say what they seem to say are nothing to hold others against: a throttled run would let every
    slowdown pass. Raises InputError E_BASELINE_INVALID."""
    if record.verdict.state == "invalid":
        raise InputError(
            f"{record.id} is invalid: {'; '.join(record.verdict.reasons)}",
            code="E_BASELINE_INVALID",
            hint="measure anew, or name it all the same with --force",
        )


def set_baseline(connection: Connection, record: Record) -> None:
    """In a write transaction; takes the place of an earlier one."""
    baselines.create(connection, checkfirst=True)
    key = key_of(record)
    same = [baselines.c[name] == value for name, value in key.items()]
    connection.execute(delete(baselines).where(*same))
    connection.execute(insert(baselines).values(**key, run_id=record.id))


def baseline_ids(connection: Connection, model_name: str, profile: str, runtime: str | None) -> list[str]:
    """Runs that are baselines of this model and profile, and of this runtime where one is given."""
    if not inspect(connection).has_table(baselines.name):
        return []
    query = select(baselines.c.run_id).where(
        baselines.c.model_name == model_name, baselines.c.profile == profile
    )
    if runtime is not None:
        query = query.where(baselines.c.runtime == runtime)
    return [str(run_id) for run_id in connection.scalars(query)]
