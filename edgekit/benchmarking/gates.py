"""Gates: `METRIC OP VALUE` with units, and the profile's limits, which are gates too. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from edgekit import units
from edgekit.errors import InputError
from edgekit.records.metrics import METRICS, Metric, metric, value_of

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
_SUFFIX: Mapping[str, str] = {"us": "_us", "bytes": "_bytes", "uJ": "_uj", "mW": "_mw"}
"""How a limit's field in the profile is named: the metric's name and its unit. `temperature` is not among
them: the verdict judges it, over the whole run."""


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
    """The profile's limits as gates; `limits` is profiles.schema.Limits."""
    gates = []
    for wanted in METRICS.values():
        value = getattr(limits, wanted.name + _SUFFIX.get(wanted.unit, "_"), None)
        if value is not None:
            text = f"{wanted.name}<={show(wanted, float(value))} (profile)"
            gates.append(Gate(metric=wanted.name, op="<=", value=float(value), text=text))
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
