"""Series apart from runs, every metric a column, whole numbers as keys.

Only SQLite files ever had what this begins with. Rows are made from the records, which are the truth; one that cannot
be read keeps what its row knew, and its bytes.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_OLD = ("telemetry", "latencies", "labels", "records", "baselines", "runs")
_SERIES = (
    *("project", "model", "recipe", "profile", "device", "device_model", "soc", "abi"),
    *("runtime", "runtime_version", "verdict"),
)
_METRICS = {
    "median_latency_us": "latency.median",
    "mean_latency_us": "latency.mean",
    "p50_latency_us": "latency.p50",
    "p90_latency_us": "latency.p90",
    "p95_latency_us": "latency.p95",
    "p99_latency_us": "latency.p99",
    "p999_latency_us": "latency.p999",
    "min_latency_us": "latency.min",
    "max_latency_us": "latency.max",
    "stddev_latency_us": "latency.stddev",
    "mad_latency_us": "latency.mad",
    "between_launch_cv": "latency.between_launch_cv",
    "first_inference_us": "latency.first_inference",
    "load_us": "latency.load",
    "throughput_per_s": "throughput.inferences_per_second",
    "peak_rss_bytes": "memory.peak_rss",
    "peak_pss_bytes": "memory.peak_pss",
    "model_delta_bytes": "memory.model_delta",
    "model_size_bytes": "model.size_bytes",
    "temperature_mc": "conditions.after.temperature_mc",
    "energy_per_inference_uj": "energy.per_inference_uj",
    "mean_power_mw": "energy.mean_power_mw",
    "sustained_slowdown": "sustained.worst_over_first",
    "accuracy": "accuracy.value",
}


_SAME = {
    "records": {"sha256": "sha256", "json_packed": "json_zlib"},
    "latencies": {"launch": "launch", "count": "count", "us_packed": "us_f64_zlib"},
    "telemetry": {
        **{name: name for name in ("series", "name", "unit", "path", "count")},
        "t_us_packed": "t_us_f64_zlib",
        "value_packed": "value_f64_zlib",
    },
    "baselines": {name: name for name in ("model_name", "profile", "runtime")},
    "labels": {"key": "key", "value": "value"},
}
"""Columns that go on, by their new name. Blobs stay as they are: zlib is still read."""


def upgrade() -> None:
    connection = op.get_bind()
    _put_aside(connection)
    _create()
    _copy(connection)
    for name in _OLD:
        connection.execute(sa.text(f"DROP TABLE IF EXISTS v1_{name}"))
    for name, query in _views().items():
        connection.execute(sa.text(f"CREATE VIEW {name} AS {query}"))
    connection.execute(sa.text("UPDATE edgekit_schema SET version = 2"))


def _put_aside(connection: sa.Connection) -> None:
    there = set(sa.inspect(connection).get_table_names())
    for index in ("runs_by_time", "runs_by_model", "runs_by_device"):
        connection.execute(sa.text(f"DROP INDEX IF EXISTS {index}"))
    for name in _OLD:
        if name in there:
            connection.execute(sa.text(f"ALTER TABLE {name} RENAME TO v1_{name}"))


def _create() -> None:
    run = "run_rows.key"
    op.create_table(
        "series",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        *(
            sa.Column(name, sa.Text, nullable=name not in ("model", "device", "runtime", "verdict"))
            for name in _SERIES
        ),
        sa.Column("last_s", sa.Double, nullable=False),
    )
    op.create_table(
        "run_rows",
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("tail", sa.Text, nullable=False),
        sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("started_s", sa.Double, nullable=False),
        sa.Column("model_version", sa.Text),
        sa.Column("model_sha256", sa.Text),
        sa.Column("launches", sa.Integer, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("ci95_low_us", sa.Double),
        sa.Column("ci95_high_us", sa.Double),
        *(sa.Column(column, sa.Double) for column in _METRICS),
    )
    op.create_index("ix_run_rows_tail", "run_rows", ["tail"])
    op.create_index("runs_by_time", "run_rows", ["started_s"])
    op.create_index("runs_by_series", "run_rows", ["series_id", "started_s"])

    def of_run() -> sa.Column[Any]:
        column = sa.ForeignKey(run, ondelete="CASCADE")
        return sa.Column("run_key", sa.Integer, column, primary_key=True, autoincrement=False)

    op.create_table(
        "records",
        of_run(),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("samples_sha256", sa.Text),
        sa.Column("json_packed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "labels",
        of_run(),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("started_s", sa.Double, nullable=False),
    )
    op.create_index("runs_by_label", "labels", ["key", "value", "started_s"])
    op.create_table(
        "latencies",
        of_run(),
        sa.Column("launch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("us_packed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "telemetry",
        of_run(),
        sa.Column("series", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "unit", "path")),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("t_us_packed", sa.LargeBinary, nullable=False),
        sa.Column("value_packed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "baselines",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("model_name", "profile", "runtime")),
        sa.Column("run_key", sa.Integer, sa.ForeignKey(run), nullable=False),
    )
    op.create_index("ix_baselines_run_key", "baselines", ["run_key"])


def _copy(connection: sa.Connection) -> None:
    known: dict[str, int] = {}
    rows = connection.execute(
        sa.text(
            "SELECT v1_runs.*, v1_records.json_zlib FROM v1_runs LEFT JOIN v1_records"
            " ON v1_records.run_id = v1_runs.id ORDER BY started_s, id"
        )
    ).mappings()
    for mapping in rows:
        row = dict(mapping)
        record = _record(row["json_zlib"])
        fields = _series_fields(row, record)
        key = hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()
        if key not in known:
            values = {**dict(zip(_SERIES, fields, strict=True)), "hash": key, "last_s": row["started_s"]}
            known[key] = len(known) + 1
            _insert(connection, "series", {"id": known[key], **values})
        connection.execute(
            sa.text("UPDATE series SET last_s = :at WHERE id = :id AND last_s < :at"),
            {"at": row["started_s"], "id": known[key]},
        )
        _insert(connection, "run_rows", {**_run_row(row, record), "series_id": known[key]})
    for table, columns in _SAME.items():
        if not sa.inspect(connection).has_table(f"v1_{table}"):
            continue
        more = {"started_s": "r.started_s"} if table == "labels" else {}
        chosen = {**{new: f"old.{name}" for new, name in columns.items()}, **more}
        connection.execute(
            sa.text(
                f"INSERT INTO {table} (run_key, {', '.join(chosen)}) SELECT r.key, {', '.join(chosen.values())}"
                f" FROM v1_{table} AS old JOIN run_rows AS r ON r.id = old.run_id"
            )
        )


def _insert(connection: sa.Connection, table: str, values: Mapping[str, Any]) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)


def _record(blob: bytes | None) -> Mapping[str, Any]:
    """Empty where it cannot be read: asking for the run will say that it is damaged."""
    try:
        found = json.loads(zlib.decompress(blob or b""))
    except (zlib.error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _series_fields(row: Mapping[str, Any], record: Mapping[str, Any]) -> list[str | None]:
    return [
        _at(record, "labels.project"),
        row["model_name"],
        row["recipe"],
        row["profile"],
        row["device_address"],
        row["device_model"],
        _at(record, "device.soc"),
        row["abi"],
        row["runtime"],
        row["runtime_version"],
        row["verdict"],
    ]


def _run_row(row: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    known = {
        "median_latency_us": row["median_us"],
        "p99_latency_us": row["p99_us"],
        "first_inference_us": row["first_inference_us"],
        "peak_rss_bytes": row["peak_rss_bytes"],
    }
    same = ("id", "started_at", "started_s", "model_version", "model_sha256", "launches", "count")
    return {
        **{name: row[name] for name in (*same, "ci95_low_us", "ci95_high_us")},
        "tail": row["id"].rpartition("-")[2],
        **{column: _at(record, path) for column, path in _METRICS.items()},
        **known,
    }


def _at(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _views() -> dict[str, str]:
    of_series = ", ".join(f"s.{name}" for name in _SERIES)
    of_metrics = ", ".join(f"r.{column}" for column in _METRICS)
    return {
        "runs": f"SELECT r.id AS run, r.started_at, r.started_s, {of_series}, r.model_version, r.model_sha256,"
        f" r.launches, r.count, r.ci95_low_us, r.ci95_high_us, {of_metrics}"
        " FROM run_rows AS r JOIN series AS s ON s.id = r.series_id",
        "run_labels": "SELECT r.id AS run, l.key, l.value FROM labels AS l"
        " JOIN run_rows AS r ON r.key = l.run_key",
    }
