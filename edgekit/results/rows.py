"""From a record and its samples to rows of the store. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from edgekit.errors import InputError
from edgekit.records import METRICS, Record, Samples, pack_floats
from edgekit.records.packed import pack
from edgekit.results.tables import METRIC_COLUMNS, SERIES_FIELDS

_PATHS = tuple((column, tuple(METRICS[name].path.split("."))) for name, column in METRIC_COLUMNS.items())
"""Split once: a batch of a thousand runs looks at 24,000 values."""
PROJECT_LABEL = "project"
_END_S = 32_503_680_000.0
"""The year 3000."""
_MOST_US = 1e15
"""Thirty years."""
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One run as it goes into the store. Rows of children lack `run_key`, which the database gives."""

    id: str
    sha256: str
    series: Values
    run: Values
    record: Values
    labels: tuple[Values, ...]
    latencies: tuple[Values, ...]
    telemetry: tuple[Values, ...]


def entry_of(record: Record, data: bytes, samples: Samples, labels: Mapping[str, str] | None = None) -> Entry:
    """`data`: the record's JSON, whose bytes are kept and sealed as they are. `labels`: what the run has now, where that is
    not what the record says.

    Raises InputError: E_SAMPLES where samples and record do not fit together or a latency is no number, E_RECORD where
    `started_at` is no time, or one that no page can show.
    """
    if samples.launches and record.launches and len(samples.launches) != len(record.launches):
        raise InputError(
            f"samples of {len(samples.launches)} launches for a record of {len(record.launches)}",
            code="E_SAMPLES",
        )
    samples = _plain(samples)
    started_s = epoch_s(record.started_at)
    if not 0 <= started_s < _END_S:
        raise InputError(f"started_at is not between 1970 and 3000: {record.started_at!r}", code="E_RECORD")
    if not (0 <= record.latency.launches < 1 << 31 and 0 <= record.latency.count < 1 << 63):
        raise InputError("so many launches or samples cannot be", code="E_RECORD")
    sha256 = hashlib.sha256(data).hexdigest()
    labels = record.labels if labels is None else labels
    fields = {**series_fields(record), "project": labels.get(PROJECT_LABEL)}
    return Entry(
        id=record.id,
        sha256=sha256,
        series={**fields, "hash": series_hash(fields), "last_s": started_s},
        run=_run_row(record, started_s),
        record={"sha256": sha256, "samples_sha256": samples_seal(samples), "json_packed": pack(data)},
        labels=tuple({"key": key, "value": value, "started_s": started_s} for key, value in labels.items()),
        latencies=tuple(
            {"launch": i, "count": array.size, "us_packed": pack_floats(array)}
            for i, array in enumerate(samples.launches)
        ),
        telemetry=tuple(
            {
                "series": i,
                "name": one.name,
                "unit": one.unit,
                "path": one.path,
                "count": one.t_us.size,
                "t_us_packed": pack_floats(one.t_us),
                "value_packed": pack_floats(one.value),
            }
            for i, one in enumerate(samples.telemetry)
        ),
    )


def _plain(samples: Samples) -> Samples:
    """As text has them as well, so that what is exported has its seal again: readings are numbers or NaN, all NaN alike."""
    import numpy as np

    if not all((np.abs(one) <= _MOST_US).all() for one in samples.launches):
        raise InputError(f"a latency is no number, or beyond {_MOST_US:g} us", code="E_SAMPLES")
    if all(np.isfinite(one.t_us).all() and np.isfinite(one.value).all() for one in samples.telemetry):
        return samples

    def known(values: Any) -> Any:
        return np.where(np.isfinite(values), values, np.nan)

    telemetry = tuple(replace(one, t_us=known(one.t_us), value=known(one.value)) for one in samples.telemetry)
    return replace(samples, telemetry=telemetry)


def samples_seal(samples: Samples) -> str | None:
    """sha256 of all samples: of each launch, then of each series, a line of JSON (what it is, how many values) and its
    values as little-endian float64, times before values. None where there are no samples."""
    if not samples.launches and not samples.telemetry:
        return None
    seal = hashlib.sha256()
    for launch in samples.launches:
        seal.update(_line(["launch", launch.size]))
        seal.update(launch.astype("<f8").tobytes())
    for one in samples.telemetry:
        seal.update(_line([one.name, one.unit, one.path, one.t_us.size]))
        seal.update(one.t_us.astype("<f8").tobytes())
        seal.update(one.value.astype("<f8").tobytes())
    return seal.hexdigest()


def series_fields(record: Record) -> dict[str, str | None]:
    """What the run has in common with many others, by `SERIES_FIELDS`. A run's project is its label "project"."""
    values = (
        record.labels.get(PROJECT_LABEL),
        record.model.name,
        record.model.recipe,
        record.profile.name if record.profile else None,
        record.device.address,
        record.device.model,
        record.device.soc,
        record.device.abi,
        record.runtime.name,
        record.runtime.version,
        record.verdict.state,
    )
    return dict(zip(SERIES_FIELDS, values, strict=True))


def series_hash(fields: Mapping[str, str | None]) -> str:
    return hashlib.sha256(json.dumps(list(fields.values()), ensure_ascii=False).encode()).hexdigest()


def epoch_s(started_at: str) -> float:
    """Seconds since 1970. Raises InputError E_RECORD for what is no ISO 8601 time."""
    try:
        moment = datetime.fromisoformat(started_at)
    except ValueError as error:
        raise InputError(f"started_at is no ISO 8601 time: {started_at!r}", code="E_RECORD") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _run_row(record: Record, started_s: float) -> dict[str, Any]:
    return {
        "id": record.id,
        "tail": record.id.rpartition("-")[2],
        "started_at": record.started_at,
        "started_s": started_s,
        "model_version": record.model.version,
        "model_sha256": record.model.sha256,
        "launches": record.latency.launches,
        "count": record.latency.count,
        "ci95_low_us": record.latency.ci95_low,
        "ci95_high_us": record.latency.ci95_high,
        **{column: _at(record, path) for column, path in _PATHS},
    }


def _at(record: Record, path: tuple[str, ...]) -> float | None:
    value: Any = record
    for name in path:
        value = getattr(value, name)
        if value is None:
            return None
    try:
        return float(value)
    except OverflowError as error:
        raise InputError(f"{'.'.join(path)} is beyond any number", code="E_RECORD") from error


def _line(head: list[str | int]) -> bytes:
    return msgspec.json.encode(head) + b"\n"
