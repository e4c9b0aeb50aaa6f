"""Gates: `METRIC OP VALUE` with units, and the profile's limits, which are gates too. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from edgekit import units
from edgekit.errors import InputError
from edgekit.records.metrics import Metric, metric, value_of

if TYPE_CHECKING:
    from edgekit.records.schema import Record

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_GATE = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|<|>)\s*(.+?)\s*")
_KIND: Mapping[str, units.Kind] = {
    "us": "time",
    "bytes": "size",
    "mC": "temperature",
    "uJ": "energy",
    "mW": "power",
    "kHz": "frequency",
    "1": "ratio",
}
LIMIT_METRICS: Mapping[str, str] = {
    "model_size": "model_size",
    "peak_rss": "peak_rss",
    "median_latency": "median_latency",
    "first_inference": "first_inference",
}
"""Limits of a profile that are judged after a run; `temperature` is judged by the verdict."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """`value` is in the metric's unit."""

    metric: str
    op: Literal["<=", ">=", "<", ">"]
    value: float
    text: str


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    gate: str
    metric: str
    measured: float | None
    unit: str
    passed: bool


def parse_gate(text: str) -> Gate:
    """Raises InputError E_GATE_SYNTAX for the form, E_METRIC for the name, the units' error for the value."""
    match = _GATE.fullmatch(text)
    if match is None:
        raise InputError(
            f"'{text}' is not a gate",
            code="E_GATE_SYNTAX",
            hint="like median_latency<=12ms or peak_rss<64MiB",
        )
    wanted = metric(match[1])
    value = units.parse_quantity(_KIND[wanted.unit], match[3])
    return Gate(metric=wanted.name, op=match[2], value=float(value), text=text.strip())  # type: ignore[arg-type]


def limit_gates(limits: object) -> tuple[Gate, ...]:
    """The profile's limits as gates; `limits` has numbers in base units, or None, under the names above."""
    gates = []
    for field, name in LIMIT_METRICS.items():
        wanted = metric(name)
        suffix = {"us": "_us", "bytes": "_bytes"}[wanted.unit]
        value = getattr(limits, field + suffix, None)
        if value is not None:
            text = f"{name}<={show(wanted, float(value))} (profile)"
            gates.append(Gate(metric=name, op="<=", value=float(value), text=text))
    return tuple(gates)


def show(wanted: Metric, value: float) -> str:
    """The value for people."""
    return units.format_quantity(_KIND[wanted.unit], value)


def check_gate(gate: Gate, record: Record) -> GateResult:
    """A metric that was not measured fails its gate: silence is not a pass."""
    wanted = metric(gate.metric)
    measured = value_of(record, wanted)
    passed = measured is not None and _OPERATORS[gate.op](measured, gate.value)
    return GateResult(gate=gate.text, metric=gate.metric, measured=measured, unit=wanted.unit, passed=passed)
