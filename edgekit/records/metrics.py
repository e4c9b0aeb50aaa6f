"""The one registry of metrics: gates, limits, reports and exports take name, unit and direction from here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from edgekit.errors import InputError
from edgekit.records.schema import Record

if TYPE_CHECKING:
    from edgekit.units import Kind

Unit = Literal["us", "bytes", "mC", "uJ", "mW", "kHz", "1/s", "1"]
METRIC_KINDS: Mapping[Unit, Kind] = {
    "us": "time",
    "bytes": "size",
    "mC": "temperature",
    "uJ": "energy",
    "mW": "power",
    "kHz": "frequency",
    "1/s": "throughput",
    "1": "ratio",
}
"""What `edgekit.units` reads and writes a metric's values as."""


@dataclass(frozen=True)
class Metric:
    """`path` is dotted, in the record; `unit` is the unit of the value there."""

    name: str
    unit: Unit
    lower_is_better: bool
    path: str
    title: str


def _latency(name: str, field: str, title: str) -> Metric:
    return Metric(name, "us", True, f"latency.{field}", title)


_ALL = (
    _latency("median_latency", "median", "Median latency"),
    _latency("mean_latency", "mean", "Mean latency"),
    _latency("p50_latency", "p50", "50th percentile"),
    _latency("p90_latency", "p90", "90th percentile"),
    _latency("p95_latency", "p95", "95th percentile"),
    _latency("p99_latency", "p99", "99th percentile"),
    _latency("p999_latency", "p999", "99.9th percentile"),
    _latency("min_latency", "min", "Shortest latency"),
    _latency("max_latency", "max", "Longest latency"),
    _latency("stddev_latency", "stddev", "Standard deviation"),
    _latency("mad_latency", "mad", "Median absolute deviation"),
    Metric("between_launch_cv", "1", True, "latency.between_launch_cv", "Variation between launches"),
    _latency("first_inference", "first_inference", "First inference"),
    _latency("load", "load", "Load time"),
    Metric("throughput", "1/s", False, "throughput.inferences_per_second", "Throughput of all streams"),
    Metric("peak_rss", "bytes", True, "memory.peak_rss", "Peak resident memory"),
    Metric("peak_pss", "bytes", True, "memory.peak_pss", "Peak proportional memory"),
    Metric("model_delta", "bytes", True, "memory.model_delta", "Memory that the model adds"),
    Metric("model_size", "bytes", True, "model.size_bytes", "Model file size"),
    Metric("temperature", "mC", True, "conditions.after.temperature_mc", "Temperature after the run"),
    Metric("energy_per_inference", "uJ", True, "energy.per_inference_uj", "Energy per inference"),
    Metric("mean_power", "mW", True, "energy.mean_power_mw", "Mean power"),
    Metric(
        "sustained_slowdown",
        "1",
        True,
        "sustained.worst_over_first",
        "Slowest minute of a long load over its first",
    ),
    Metric("accuracy", "1", False, "accuracy.value", "Accuracy"),
)
METRICS = MappingProxyType({metric.name: metric for metric in _ALL})


def metric(name: str) -> Metric:
    """A metric by name. Raises InputError (E_METRIC) with the nearest names."""
    try:
        return METRICS[name]
    except KeyError:
        near = difflib.get_close_matches(name, METRICS, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(METRICS)}"
        raise InputError(f"no metric called '{name}'", code="E_METRIC", hint=hint) from None


def column_of(wanted: Metric) -> str:
    """Its name in tables, with the unit: `median_latency_us`, `throughput_per_s`, `accuracy`."""
    if wanted.unit == "1/s":
        return f"{wanted.name}_per_s"
    return wanted.name if wanted.unit == "1" else f"{wanted.name}_{wanted.unit.lower()}"


def value_of(record: Record, wanted: Metric | str) -> float | None:
    """The metric's value in the record, in the metric's unit; None where it is not known."""
    value: object = record
    for name in (metric(wanted) if isinstance(wanted, str) else wanted).path.split("."):
        value = getattr(value, name)
        if value is None:
            return None
    assert isinstance(value, int | float)
    return float(value)
