"""The results store: records with all their samples, kept on this host in one SQLite file."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, insert, or_, select

from edgekit.errors import InputError
from edgekit.records import Record, Samples, Series, decode, encode, pack_floats, unpack_floats
from edgekit.results import baselines, tables
from edgekit.results.database import BUSY_TIMEOUT_S, damaged, default_path, open_engine, reading, writing
from edgekit.results.export import Format, export

LATEST = "latest"


@dataclass(frozen=True)
class RunRow:
    """One run as a listing shows it; the record has the rest."""

    id: str
    started_at: str
    model_name: str
    model_version: str | None
    recipe: str | None
    profile: str | None
    device_address: str
    device_model: str | None
    runtime: str
    runtime_version: str | None
    verdict: str
    launches: int
    count: int
    median_us: float | None
    ci95_low_us: float | None
    ci95_high_us: float | None
    p99_us: float | None
    peak_rss_bytes: int | None


class Store:
    """Open (or make) a store. `path`: `EDGEKIT_RESULTS`, else results.sqlite in the data folder.

    Safe to use from many processes at once; a process that is killed leaves the store whole. Every method
    raises StoreError (locked, damaged, newer, not a store) or HostDiskFull.
    """

    def __init__(self, path: Path | None = None, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path or default_path()
        self._engine = open_engine(self.path, busy_timeout_s)

    def add(self, record: Record, samples: Samples | None = None) -> bool:
        """Keep a record and its samples, all or nothing. False where it is there already (the same bytes).

        Raises InputError: E_RECORD_CONFLICT where another record has this id, E_SAMPLES where samples and
        record do not fit together, E_RECORD where `started_at` is no ISO 8601 time.
        """
        samples = samples or Samples()
        if samples.launches and record.launches and len(samples.launches) != len(record.launches):
            raise InputError(
                f"samples of {len(samples.launches)} launches for a record of {len(record.launches)}",
                code="E_SAMPLES",
            )
        data = encode(record)
        rows = _rows(record, data, samples)  # compressed before the lock is taken
        with writing(self._engine, self.path) as connection:
            kept = connection.scalar(
                select(tables.records.c.sha256).where(tables.records.c.run_id == record.id)
            )
            if kept is None:
                for table, values in rows:
                    connection.execute(insert(table), values)
                return True
        if kept != hashlib.sha256(data).hexdigest():
            raise InputError(
                f"the store holds another record with the id {record.id}", code="E_RECORD_CONFLICT"
            )
        return False

    def list(
        self,
        *,
        model: str | None = None,
        device: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> tuple[RunRow, ...]:
        """Runs, newest first. `model`: part of the model's name, case ignored. `device`: an address or a
        device's model, exactly. `since`: aware; runs started then or later."""
        query: Select[Any] = select(*(tables.runs.c[name] for name in RunRow.__dataclass_fields__))
        if model is not None:
            query = query.where(tables.runs.c.model_name.icontains(model, autoescape=True))
        if device is not None:
            query = query.where(
                or_(tables.runs.c.device_address == device, tables.runs.c.device_model == device)
            )
        if since is not None:
            query = query.where(tables.runs.c.started_s >= since.timestamp())
        query = query.order_by(tables.runs.c.started_s.desc(), tables.runs.c.id.desc()).limit(limit)
        with reading(self._engine, self.path) as connection:
            return tuple(RunRow(**row) for row in connection.execute(query).mappings())

    def resolve(self, run: str) -> str:
        """The full id for an id, a unique beginning of one, the letters after its last "-", or "latest".

        Raises InputError: E_NO_RUN, E_AMBIGUOUS_RUN.
        """
        with reading(self._engine, self.path) as connection:
            return _resolve(connection, run)

    def get(self, run: str) -> Record:
        """The record of a run, named as `resolve` takes it."""
        with reading(self._engine, self.path) as connection:
            run_id = _resolve(connection, run)
            row = connection.execute(
                select(tables.records.c.json_zlib, tables.records.c.sha256).where(
                    tables.records.c.run_id == run_id
                )
            ).one_or_none()
        if row is None:
            raise damaged(self.path, f"run {run_id} has no record")
        try:
            data = zlib.decompress(row.json_zlib)
        except zlib.error as error:
            raise damaged(self.path, f"record {run_id}: {error}") from error
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise damaged(self.path, f"record {run_id} does not have its hash")
        return decode(data)

    def samples(self, run: str) -> Samples:
        """All samples of a run, named as `resolve` takes it."""
        with reading(self._engine, self.path) as connection:
            run_id = _resolve(connection, run)
            launches = connection.execute(
                select(tables.latencies)
                .where(tables.latencies.c.run_id == run_id)
                .order_by(tables.latencies.c.launch)
            ).all()
            series = connection.execute(
                select(tables.telemetry)
                .where(tables.telemetry.c.run_id == run_id)
                .order_by(tables.telemetry.c.series)
            ).all()
        try:
            return Samples(
                launches=tuple(unpack_floats(row.us_f64_zlib) for row in launches),
                telemetry=tuple(
                    Series(
                        name=row.name,
                        unit=row.unit,
                        path=row.path,
                        t_us=unpack_floats(row.t_us_f64_zlib),
                        value=unpack_floats(row.value_f64_zlib),
                    )
                    for row in series
                ),
            )
        except InputError as error:
            raise damaged(self.path, f"samples of {run_id}: {error.message}") from error

    def set_baseline(self, run: str, *, force: bool = False) -> Record:
        """Make a run the baseline of its model's name, profile and runtime. Returns its record.

        Raises InputError E_BASELINE_INVALID for a run whose verdict is invalid, unless `force`.
        """
        record = self.get(run)
        if not force:
            baselines.refuse_invalid(record)
        with writing(self._engine, self.path) as connection:
            baselines.set_baseline(connection, record)
        return record

    def baseline(self, model_name: str, profile: str | None, runtime: str | None = None) -> Record | None:
        """The baseline of this model, profile and runtime (None: of any runtime, the first); None where none is set."""
        with reading(self._engine, self.path) as connection:
            found = baselines.baseline_ids(connection, model_name, profile or "", runtime)
        return self.get(found[0]) if found else None

    def export(
        self,
        runs: Sequence[str] = (),
        *,
        format: Format = "jsonl",  # noqa: A002
        with_samples: bool = False,
    ) -> Iterator[str]:
        """Pieces of one document (see `edgekit.results.export`); no `runs`: all, oldest first. The runs are
        looked up at once, so that a wrong name fails before anything is written."""
        ids = [self.resolve(run) for run in runs] or [row.id for row in reversed(self.list())]
        entries = ((self.get(run), self.samples(run) if with_samples else None) for run in ids)
        return export(entries, format)

    def latest(self) -> Record | None:
        """The newest record, None in an empty store."""
        rows = self.list(limit=1)
        return self.get(rows[0].id) if rows else None


def _resolve(connection: Connection, run: str) -> str:
    column = tables.runs.c.id
    if run == LATEST:
        newest = select(column).order_by(tables.runs.c.started_s.desc(), column.desc()).limit(1)
        if (found := connection.scalar(newest)) is None:
            raise InputError(
                "the results store is empty", code="E_NO_RUN", hint="measure something: edgekit bench"
            )
        return str(found)
    if connection.scalar(select(column).where(column == run)) is not None:
        return run
    match = or_(column.startswith(run, autoescape=True), column.endswith(f"-{run}", autoescape=True))
    found = connection.scalars(select(column).where(match).order_by(column).limit(6)).all() if run else []
    if not found:
        raise InputError(f"no run '{run}' in the results store", code="E_NO_RUN", hint="edgekit results list")
    if len(found) > 1:
        several = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise InputError(f"'{run}' is the beginning of several runs: {several}", code="E_AMBIGUOUS_RUN")
    return str(found[0])


def _rows(record: Record, data: bytes, samples: Samples) -> list[tuple[Any, list[Mapping[str, Any]]]]:
    """Everything to insert, by table, parents first; tables without rows are left out."""
    blob = {"run_id": record.id, "sha256": hashlib.sha256(data).hexdigest(), "json_zlib": zlib.compress(data)}
    named = [{"run_id": record.id, "key": key, "value": value} for key, value in record.labels.items()]
    launches = [
        {"run_id": record.id, "launch": i, "count": array.size, "us_f64_zlib": pack_floats(array)}
        for i, array in enumerate(samples.launches)
    ]
    series = [
        {
            "run_id": record.id,
            "series": i,
            "name": one.name,
            "unit": one.unit,
            "path": one.path,
            "count": one.t_us.size,
            "t_us_f64_zlib": pack_floats(one.t_us),
            "value_f64_zlib": pack_floats(one.value),
        }
        for i, one in enumerate(samples.telemetry)
    ]
    every: list[tuple[Any, list[Mapping[str, Any]]]] = [
        (tables.runs, [_summary(record)]),
        (tables.records, [blob]),
        (tables.labels, list(named)),
        (tables.latencies, list(launches)),
        (tables.telemetry, list(series)),
    ]
    return [(table, rows) for table, rows in every if rows]


def _summary(record: Record) -> Mapping[str, Any]:
    return {
        "id": record.id,
        "started_at": record.started_at,
        "started_s": _epoch_s(record.started_at),
        "model_name": record.model.name,
        "model_version": record.model.version,
        "model_sha256": record.model.sha256,
        "recipe": record.model.recipe,
        "profile": record.profile.name if record.profile else None,
        "device_address": record.device.address,
        "device_model": record.device.model,
        "abi": record.device.abi,
        "runtime": record.runtime.name,
        "runtime_version": record.runtime.version,
        "verdict": record.verdict.state,
        "launches": record.latency.launches,
        "count": record.latency.count,
        "median_us": record.latency.median,
        "ci95_low_us": record.latency.ci95_low,
        "ci95_high_us": record.latency.ci95_high,
        "p99_us": record.latency.p99,
        "first_inference_us": record.latency.first_inference,
        "peak_rss_bytes": record.memory.peak_rss,
    }


def _epoch_s(started_at: str) -> float:
    try:
        moment = datetime.fromisoformat(started_at)
    except ValueError as error:
        raise InputError(f"started_at is no ISO 8601 time: {started_at!r}", code="E_RECORD") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
