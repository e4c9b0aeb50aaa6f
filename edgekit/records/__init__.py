"""The result record: what one benchmark run measured, under which conditions, and how far to trust it."""

from edgekit.records.codec import decode, encode, new_id, to_builtins
from edgekit.records.environment import Asked, Environment, Host
from edgekit.records.memory import LaunchMemory, Memory
from edgekit.records.metrics import METRICS, Metric, metric, value_of
from edgekit.records.samples import Samples, Series, TelemetryPoint, pack_floats, series_of, unpack_floats
from edgekit.records.schema import (
    SCHEMA,
    Accuracy,
    BeforeAfter,
    Conditions,
    Device,
    Energy,
    Launch,
    LoadTimes,
    Model,
    Plan,
    Profile,
    Record,
    RecordEvent,
    Runtime,
    Scalar,
    Usage,
    Verdict,
)
from edgekit.records.told import Operators, Told
from edgekit.stats.types import Latency, Stability

__all__ = [
    "METRICS",
    "SCHEMA",
    "Accuracy",
    "Asked",
    "BeforeAfter",
    "Conditions",
    "Device",
    "Energy",
    "Environment",
    "Host",
    "Latency",
    "Launch",
    "LaunchMemory",
    "LoadTimes",
    "Memory",
    "Metric",
    "Model",
    "Operators",
    "Plan",
    "Profile",
    "Record",
    "RecordEvent",
    "Runtime",
    "Samples",
    "Scalar",
    "Series",
    "Stability",
    "TelemetryPoint",
    "Told",
    "Usage",
    "Verdict",
    "decode",
    "encode",
    "metric",
    "new_id",
    "pack_floats",
    "series_of",
    "to_builtins",
    "unpack_floats",
    "value_of",
]
