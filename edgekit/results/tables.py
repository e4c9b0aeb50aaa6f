"""The tables of the store. Rows that queries read are narrow; records and samples are blobs apart."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

SCHEMA_VERSION = 1
metadata = MetaData()

schema_table = Table("edgekit_schema", metadata, Column("version", Integer, primary_key=True))

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at", Text, nullable=False),
    Column("started_s", Float, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text),
    Column("model_sha256", Text),
    Column("recipe", Text),
    Column("profile", Text),
    Column("device_address", Text, nullable=False),
    Column("device_model", Text),
    Column("abi", Text),
    Column("runtime", Text, nullable=False),
    Column("runtime_version", Text),
    Column("verdict", Text, nullable=False),
    Column("launches", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("median_us", Float),
    Column("ci95_low_us", Float),
    Column("ci95_high_us", Float),
    Column("p99_us", Float),
    Column("first_inference_us", Float),
    Column("peak_rss_bytes", Integer),
    Index("runs_by_time", "started_s"),
    Index("runs_by_model", "model_name", "started_s"),
    Index("runs_by_device", "device_address", "started_s"),
)

records = Table(
    "records",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("json_zlib", LargeBinary, nullable=False),
)

labels = Table(
    "labels",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

latencies = Table(
    "latencies",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("launch", Integer, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("us_f64_zlib", LargeBinary, nullable=False),
)

telemetry = Table(
    "telemetry",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("series", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("t_us_f64_zlib", LargeBinary, nullable=False),
    Column("value_f64_zlib", LargeBinary, nullable=False),
)

baselines = Table(
    "baselines",
    metadata,
    Column("model_name", Text, primary_key=True),
    Column("profile", Text, primary_key=True),
    Column("runtime", Text, primary_key=True),
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
)
"""Younger than the other tables: a store that was made before it gets it with its first baseline. `profile` is empty
where a run had none."""
