"""Runs as Arrow tables, pandas frames and Parquet files. Needs the extra `parquet` (pyarrow), for pandas `pandas`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.cache import atomic_path, host_errors
from edgekit.errors import InputError, MissingExtra
from edgekit.records import Samples, Series, decode
from edgekit.results.adding import batches
from edgekit.results.asking import RunRow
from edgekit.results.lines import broken_seal
from edgekit.results.rows import entry_of, samples_seal
from edgekit.results.tables import METRIC_COLUMNS, SERIES_FIELDS

ROWS_A_GROUP = 200
_WORDS = ("run", "started_at", *SERIES_FIELDS, "model_version", "model_sha256")
_NUMBERS = ("ci95_low_us", "ci95_high_us", *METRIC_COLUMNS.values())


def columns_of(rows: Sequence[RunRow]) -> dict[str, list[Any]]:
    """A column a field, named as the view `runs` names them."""
    names = {"run": "id", "model": "model_name", "device": "device_address"}
    words = {name: [getattr(row, names.get(name, name)) for row in rows] for name in _WORDS}
    counts = {name: [getattr(row, name) for row in rows] for name in ("launches", "count")}
    interval = {name: [getattr(row, name) for row in rows] for name in ("ci95_low_us", "ci95_high_us")}
    metrics = {column: [row.metrics[name] for row in rows] for name, column in METRIC_COLUMNS.items()}
    return {**words, **counts, **interval, **metrics}


def to_arrow(rows: Sequence[RunRow]) -> Any:
    """A pyarrow.Table: a row a run; what is not known is null. Raises MissingExtra."""
    pa = _pyarrow()
    fields = [
        *((name, pa.string()) for name in _WORDS),
        *((name, pa.int64()) for name in ("launches", "count")),
        *((name, pa.float64()) for name in _NUMBERS),
    ]
    return pa.table(columns_of(rows), schema=pa.schema(fields))


def to_pandas(rows: Sequence[RunRow]) -> Any:
    """A pandas.DataFrame, `started_at` as UTC timestamps. Raises MissingExtra."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("a pandas frame", "pandas") from error
    frame = pd.DataFrame(columns_of(rows))
    frame["started_at"] = pd.to_datetime(frame["started_at"], utc=True, format="ISO8601")
    return frame


def write_parquet(entries: Iterable[tuple[bytes, Samples | None]], target: Path) -> int:
    """Whole runs: the columns of the view `runs`, the record's JSON and all samples; comes back exactly. Number of runs."""
    pa = _pyarrow()
    import pyarrow.parquet as pq

    schema = _schema(pa)
    total = 0
    with atomic_path(target) as temporary, host_errors(target), pq.ParquetWriter(temporary, schema) as writer:
        for some in batches(entries, ROWS_A_GROUP):
            writer.write_table(pa.Table.from_pylist([_row(*entry) for entry in some], schema=schema))
            total += len(some)
    return total


def read_parquet(source: Path) -> Iterator[tuple[bytes, Samples | None]]:
    """What `write_parquet` wrote. Raises InputError E_IMPORT for another file, VerificationError E_SEAL for changed bytes."""
    pa = _pyarrow()
    import pyarrow.parquet as pq

    names = ["run", "record_json", "record_sha256", "samples_sha256", "launches_us", "telemetry"]
    try:
        file = pq.ParquetFile(source)
        if missing := set(names) - set(file.schema_arrow.names):
            raise InputError(
                f"{source} has no column {min(missing)}: not a file of `results export`", code="E_IMPORT"
            )
        for batch in file.iter_batches(batch_size=ROWS_A_GROUP, columns=names):
            for row in batch.to_pylist():
                yield _entry(row)
    except pa.ArrowInvalid as error:
        raise InputError(f"{source} is not a Parquet file: {error}", code="E_IMPORT") from error


def _row(data: bytes, samples: Samples | None) -> dict[str, Any]:
    record, kept = decode(data), samples or Samples()
    made = entry_of(record, data, kept)
    words = {
        **{name: made.series[name] for name in SERIES_FIELDS},
        **{k: v for k, v in made.run.items() if k != "id"},
    }
    return {
        "run": record.id,
        **words,
        "record_json": data,
        "record_sha256": made.sha256,
        "samples_sha256": samples_seal(kept),
        "launches_us": [launch.tolist() for launch in kept.launches],
        "telemetry": [
            {
                "name": s.name,
                "unit": s.unit,
                "path": s.path,
                "t_us": s.t_us.tolist(),
                "value": s.value.tolist(),
            }
            for s in kept.telemetry
        ],
    }


def _entry(row: dict[str, Any]) -> tuple[bytes, Samples | None]:
    import hashlib

    data = row["record_json"]
    samples = Samples(
        launches=tuple(np.array(launch, dtype=np.float64) for launch in row["launches_us"]),
        telemetry=tuple(
            Series(
                name=one["name"],
                unit=one["unit"],
                path=one["path"],
                t_us=np.array(one["t_us"], dtype=np.float64),
                value=np.array(one["value"], dtype=np.float64),
            )
            for one in row["telemetry"]
        ),
    )
    if hashlib.sha256(data).hexdigest() != row["record_sha256"]:
        raise broken_seal(row["run"], "record")
    if samples_seal(samples) != row["samples_sha256"]:
        raise broken_seal(row["run"], "samples")
    return data, samples


def _schema(pa: Any) -> Any:
    floats = pa.list_(pa.float64())
    series = pa.struct(
        [
            ("name", pa.string()),
            ("unit", pa.string()),
            ("path", pa.string()),
            ("t_us", floats),
            ("value", floats),
        ]
    )
    return pa.schema(
        [
            *((name, pa.string()) for name in _WORDS),
            *((name, pa.int64()) for name in ("launches", "count")),
            *((name, pa.float64()) for name in _NUMBERS),
            ("record_json", pa.binary()),
            *((name, pa.string()) for name in ("record_sha256", "samples_sha256")),
            ("launches_us", pa.list_(floats)),
            ("telemetry", pa.list_(series)),
        ]
    )


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("Parquet and Arrow", "parquet") from error
    return pyarrow
