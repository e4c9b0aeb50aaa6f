"""One run out of the store, checked against its seal. Each takes an open read transaction."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import Connection, select

from edgekit.errors import InputError
from edgekit.records import Samples, Series, unpack_floats
from edgekit.records.packed import unpack
from edgekit.records.samples import MAX_UNPACKED_BYTES
from edgekit.results.naming import no_run
from edgekit.results.sqlite_file import damaged
from edgekit.results.tables import latencies, records, run_rows, telemetry


def record_bytes(connection: Connection, run_id: str, place: str) -> tuple[bytes, str]:
    """The record's JSON as it was added, and its sha256, which is checked. `place`: what messages call the store.

    Raises StoreError E_STORE_DAMAGED; InputError E_NO_RUN for a run that is not there (any more).
    """
    row = connection.execute(
        select(records.c.json_packed, records.c.sha256).join(run_rows).where(run_rows.c.id == run_id)
    ).one_or_none()
    if row is None:
        if connection.scalar(select(run_rows.c.key).where(run_rows.c.id == run_id)) is None:
            raise no_run(run_id)
        raise damaged(place, f"run {run_id} has no record")
    try:
        data = unpack(row.json_packed, MAX_UNPACKED_BYTES)
    except ValueError as error:
        raise damaged(place, f"record {run_id}: {error}") from error
    if sha256(data).hexdigest() != row.sha256:
        raise damaged(place, f"record {run_id} does not have its hash")
    return data, str(row.sha256)


def samples_of(connection: Connection, run_id: str, place: str) -> Samples:
    """All samples of a run; empty where it had none or they were pruned. Raises StoreError E_STORE_DAMAGED."""
    key = select(run_rows.c.key).where(run_rows.c.id == run_id).scalar_subquery()
    launches = connection.execute(
        select(latencies).where(latencies.c.run_key == key).order_by(latencies.c.launch)
    ).all()
    series = connection.execute(
        select(telemetry).where(telemetry.c.run_key == key).order_by(telemetry.c.series)
    ).all()
    try:
        return Samples(
            launches=tuple(unpack_floats(row.us_packed) for row in launches),
            telemetry=tuple(
                Series(
                    name=row.name,
                    unit=row.unit,
                    path=row.path,
                    t_us=unpack_floats(row.t_us_packed),
                    value=unpack_floats(row.value_packed),
                )
                for row in series
            ),
        )
    except InputError as error:
        raise damaged(place, f"samples of {run_id}: {error.message}") from error
