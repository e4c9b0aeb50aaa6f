"""Gates: `METRIC OP VALUE` with units, and the profile's limits, which are gates too. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from edgekit import units
from edgekit.errors import InputError
from edgekit.records.metrics import METRIC_KINDS, METRICS, Metric, metric, value_of

if TYPE_CHECKING:
    from edgekit.records.schema import Record

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_GATE = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|<|>)\s*(.+?)\s*")
_BASELINE = re.compile(r"baseline(?:\s*\*\s*(\d{1,6}(?:\.\d{1,6})?))?")
_SUFFIX: Mapping[str, str] = {"us": "_us", "bytes": "_bytes", "uJ": "_uj", "mW": "_mw"}
"""How a limit's field in the profile is named: the metric's name and its unit. `temperature` is not among
them: the verdict judges it, over the whole run."""


MAX_GATE_LENGTH = 200
"""A gate may come from a record that is done again: a long run of spaces would take the pattern its square."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """`value` is in the metric's unit; or, with `baseline`, a factor of the baseline's value."""

    metric: str
    op: Literal["<=", ">=", "<", ">"]
    value: float
    text: str
    baseline: bool = False


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    gate: str
    metric: str
    measured: float | None
    unit: str
    passed: bool
    limit: float | None = None
    confirmed: bool | None = None
    """Of a baseline gate that failed: whether the second measurement made it a regression; null where there was none.
    False with `passed` False: it failed twice, and could not be tested."""
    second: float | None = None
    p_value: float | None = None
    note: str | None = None


def parse_gate(text: str) -> Gate:
    """Raises InputError E_GATE_SYNTAX for the form, E_METRIC for the name, the units' error for the value."""
    match = _GATE.fullmatch(text) if len(text) <= MAX_GATE_LENGTH else None
    if match is None:
        raise InputError(
            f"'{text[:MAX_GATE_LENGTH]}' is not a gate",
            code="E_GATE_SYNTAX",
            hint="like median_latency<=12ms, peak_rss<64MiB or median_latency<=baseline*1.03",
        )
    wanted = metric(match[1])
    factor = _BASELINE.fullmatch(match[3])
    if factor is not None:
        return Gate(
            metric=wanted.name,
            op=match[2],  # type: ignore[arg-type]
            value=float(factor[1] or 1),
            text=text.strip(),
            baseline=True,
        )
    value = units.parse_quantity(METRIC_KINDS[wanted.unit], match[3])
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
    return units.format_quantity(METRIC_KINDS[wanted.unit], value)


def limit_of(gate: Gate, baseline: Record | None) -> float | None:
    """What the metric is compared with, in its unit; None where the baseline does not know it."""
    if not gate.baseline:
        return gate.value
    value = value_of(baseline, gate.metric) if baseline is not None else None
    return None if value is None else value * gate.value


def check_gate(gate: Gate, record: Record, baseline: Record | None = None) -> GateResult:
    """A metric that was not measured, now or in the baseline, fails its gate: silence is not a pass."""
    wanted = metric(gate.metric)
    measured, limit = value_of(record, wanted), limit_of(gate, baseline)
    passed = measured is not None and limit is not None and _OPERATORS[gate.op](measured, limit)
    return GateResult(
        gate=gate.text,
        metric=gate.metric,
        measured=measured,
        unit=wanted.unit,
        passed=passed,
        limit=limit,
        note="; ".join([*_missing(record, wanted, measured), *_notes(gate, record, baseline, limit)]) or None,
    )


_NOT_MEASURED: Mapping[str, str] = {
    "throughput": "no streams were asked for: --streams N",
    "sustained": "it takes a long load of at least two whole minutes: --sustained MINUTES",
    "accuracy": "nothing was scored: bench --evaluation, or convert with --evaluation",
    "conditions": "no temperature sensor could be read",
    "memory": "the runtime does not tell it",
}
"""By part of the record, why a metric in it is null where the record itself does not say."""


def _missing(record: Record, wanted: Metric, measured: float | None) -> list[str]:
    """Why the record does not have it, where that is known."""
    if measured is not None:
        return []
    part, _, field = wanted.path.partition(".")
    told = {
        "latency": record.latency.unavailable.get(field),
        "memory": record.memory.unavailable.get(field),
        "energy": record.energy.unavailable,
    }
    why = told.get(part) or _NOT_MEASURED.get(part)
    return [why] if why else []


def _notes(gate: Gate, record: Record, baseline: Record | None, limit: float | None) -> list[str]:
    """What is to be known of the baseline, of a gate that has one."""
    if not gate.baseline:
        return []
    notes = [] if limit is not None else ["the baseline does not have it"]
    if baseline is None:
        return notes
    if baseline.verdict.state != "valid":
        notes.append(f"the baseline is {baseline.verdict.state}: {'; '.join(baseline.verdict.reasons)}")
    before, now = (run.plan.streams or 1 for run in (baseline, record))
    if before != now:
        notes.append(f"the baseline was measured with {before} at once, this run with {now} (--streams)")
    old, new = baseline.device.model, record.device.model
    if old and new and old != new:
        notes.append(f"the baseline is of another device: {old}")
    if baseline.runtime.name != record.runtime.name:
        notes.append(f"the baseline is of another runtime: {baseline.runtime.name}")
    return notes
