"""The tables of the store. Rows that queries read are narrow; records and samples are blobs apart.

`series` holds what many runs have in common: where a listing filters by a word (a model, a board, a verdict), it looks
through thousands of series, not through millions of runs. `runs` and `run_labels` are views of it all under plain
names, for `edgekit results query`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from edgekit.records.metrics import METRICS, column_of

SCHEMA_VERSION = 4
HEAD = "0004"
"""Alembic's revision of `SCHEMA_VERSION`."""
metadata = MetaData()


class Words(TypeDecorator[str]):
    """Text that may come from a device or a model. PostgreSQL has no room for NUL in one; the record itself, a blob, keeps
    it. `bytewise`: compared by bytes on either database, so that the beginning of an id is a range of its index."""

    impl = Text
    cache_ok = True

    def __init__(self, *, bytewise: bool = False) -> None:
        super().__init__()
        self.bytewise = bytewise

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        collation = "C" if self.bytewise and dialect.name == "postgresql" else None
        return dialect.type_descriptor(Text(collation=collation))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "\ufffd")


_KEY = BigInteger().with_variant(Integer(), "sqlite")
_ID = Words(bytewise=True)

schema_table = Table("edgekit_schema", metadata, Column("version", Integer, primary_key=True))
"""One row. A program that knows only older versions refuses the store by it, whatever else has changed."""

SERIES_FIELDS = (
    "project",
    "model",
    "recipe",
    "profile",
    "device",
    "device_model",
    "soc",
    "abi",
    "runtime",
    "runtime_version",
    "verdict",
)
series = Table(
    "series",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("hash", Words(), nullable=False, unique=True),
    *(
        Column(name, Words(), nullable=name not in ("model", "device", "runtime", "verdict"))
        for name in SERIES_FIELDS
    ),
    Column("last_s", Double, nullable=False),
)
"""`hash`: of all fields, null ones too. `last_s`: when the newest run of it began."""

METRIC_COLUMNS = {name: column_of(metric) for name, metric in METRICS.items()}
run_rows = Table(
    "run_rows",
    metadata,
    Column("key", _KEY, primary_key=True),
    Column("id", _ID, nullable=False, unique=True),
    Column("tail", _ID, nullable=False, index=True),
    Column("series_id", _KEY, ForeignKey("series.id"), nullable=False),
    Column("started_at", Words(), nullable=False),
    Column("started_s", Double, nullable=False),
    Column("model_version", Words()),
    Column("model_sha256", Words()),
    Column("launches", Integer, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("ci95_low_us", Double),
    Column("ci95_high_us", Double),
    *(Column(column, Double) for column in METRIC_COLUMNS.values()),
    Index("runs_by_time", "started_s"),
    Index("runs_by_series", "series_id", "started_s", METRIC_COLUMNS["median_latency"]),
)
"""`tail`: the letters after the id's last "-", which name a run too. The median is in the index of a series because most filters
by a metric are by it: a run that does not meet one need not be read."""


def _of_run() -> Column[Any]:
    """Part of a run, which goes with it."""
    run = ForeignKey("run_rows.key", ondelete="CASCADE")
    return Column("run_key", _KEY, run, primary_key=True, autoincrement=False)


records = Table(
    "records",
    metadata,
    _of_run(),
    Column("sha256", Words(), nullable=False),
    Column("samples_sha256", Words()),
    Column("json_packed", LargeBinary, nullable=False),
)
"""`sha256`: of the record's JSON as it was added: its seal. `samples_sha256`: see `edgekit.results.rows.samples_seal`."""

labels = Table(
    "labels",
    metadata,
    _of_run(),
    Column("key", Words(), primary_key=True),
    Column("value", Words(), nullable=False),
    Column("started_s", Double, nullable=False),
    Column("series_id", _KEY),
    Index("runs_by_label", "key", "value", "started_s", "series_id"),
)
"""`started_s`, `series_id`: those of the run, so that what many runs of one label are is read from the index alone."""

latencies = Table(
    "latencies",
    metadata,
    _of_run(),
    Column("launch", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("us_packed", LargeBinary, nullable=False),
)

telemetry = Table(
    "telemetry",
    metadata,
    _of_run(),
    Column("series", Integer, primary_key=True, autoincrement=False),
    Column("name", Words(), nullable=False),
    Column("unit", Words(), nullable=False),
    Column("path", Words(), nullable=False),
    Column("count", Integer, nullable=False),
    Column("t_us_packed", LargeBinary, nullable=False),
    Column("value_packed", LargeBinary, nullable=False),
)

baselines = Table(
    "baselines",
    metadata,
    Column("model_name", Words(), primary_key=True),
    Column("profile", Words(), primary_key=True),
    Column("runtime", Words(), primary_key=True),
    Column("run_key", _KEY, ForeignKey("run_rows.key"), nullable=False, index=True),
)
"""`profile` is empty where a run had none. A run that is a baseline cannot be deleted."""

under_way = Table(
    "under_way",
    metadata,
    Column("key", Words(), primary_key=True),
    *(
        Column(name, Words(), nullable=name not in ("model", "device"))
        for name in (
            *("project", "model", "version", "recipe", "profile"),
            *("device", "device_model", "soc", "abi", "runtime"),
        )
    ),
    Column("started_at", Words(), nullable=False),
    Column("started_s", Double, nullable=False),
    Column("heard_s", Double, nullable=False),
    Column("until_s", Double, nullable=False),
    Column("done", Integer),
    Column("total", Integer, nullable=False),
    Column("median_us", Double),
)
"""Measurements that are not done yet, each told by the process that makes it. Nobody vouches for a row after `until_s`. Times
are the database's own: writers and readers may be on hosts whose clocks differ."""

VIEWS = {
    "runs": "SELECT r.id AS run, r.started_at, r.started_s, "
    + ", ".join(f"s.{name}" for name in SERIES_FIELDS)
    + ", r.model_version, r.model_sha256, r.launches, r.count, r.ci95_low_us, r.ci95_high_us, "
    + ", ".join(f"r.{column}" for column in METRIC_COLUMNS.values())
    + " FROM run_rows AS r JOIN series AS s ON s.id = r.series_id",
    "run_labels": "SELECT r.id AS run, l.key, l.value FROM labels AS l JOIN run_rows AS r ON r.key = l.run_key",
}
