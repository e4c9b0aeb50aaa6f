"""Which run is the baseline of a model, a device profile and a runtime."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from edgekit.errors import InputError
from edgekit.records import Record
from edgekit.results.tables import baselines, run_rows


@dataclass(frozen=True)
class Baseline:
    """`run` is what gates of this model, profile and runtime compare with."""

    model: str
    profile: str | None
    runtime: str
    run: str


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
    key = key_of(record)
    same = [baselines.c[name] == value for name, value in key.items()]
    run_key = select(run_rows.c.key).where(run_rows.c.id == record.id).scalar_subquery()
    connection.execute(delete(baselines).where(*same))
    connection.execute(insert(baselines).values(**key, run_key=run_key))


def baseline_ids(connection: Connection, model_name: str, profile: str, runtime: str | None) -> list[str]:
    """Runs that are baselines of this model and profile, and of this runtime where one is given."""
    query = (
        select(run_rows.c.id)
        .join(baselines)
        .where(baselines.c.model_name == model_name, baselines.c.profile == profile)
    )
    if runtime is not None:
        query = query.where(baselines.c.runtime == runtime)
    return list(connection.scalars(query.order_by(baselines.c.runtime)))


def all_baselines(connection: Connection) -> tuple[Baseline, ...]:
    columns = (baselines.c.model_name, baselines.c.profile, baselines.c.runtime, run_rows.c.id)
    rows = connection.execute(select(*columns).join(run_rows).order_by(*columns[:3]))
    return tuple(Baseline(row.model_name, row.profile or None, row.runtime, row.id) for row in rows)
