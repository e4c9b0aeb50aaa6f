"""Two kept runs against each other: each metric with what it is worth, and what else differs. Pure.

Runs of different days are no interleaved pairs (`edgekit compare` makes those): what changed on the device between them
is in the difference as well. So besides the numbers there stands what differs in device, runtime, plan and conditions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from edgekit.benchmarking.evidence import told_step
from edgekit.benchmarking.regression import values_by_launch
from edgekit.records import METRICS, Metric, Record, to_builtins, value_of
from edgekit.stats.comparing import welch_ratio

SIGNIFICANCE = 0.01
"""Stricter than within a comparison: some twenty metrics are looked at, and the launches were not interleaved."""
MIN_LAUNCHES = 3
_PARTS = ("edgekit_version", "model", "profile", "device", "runtime", "plan", "environment", "labels")
_SAME_SENSE = ("id", "argv", "seed", "rerun_of")
"""Differ in any two runs, and say nothing."""

_ODD = 0.05
"""A ratio further than that from the ratio of the two values beside it wants an explanation."""
Change = Literal["better", "worse", "no_difference", "untested", "unknown"]


class MetricDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: `b` against `a`, each in the metric's unit.

    `change`: better or worse where launches differ beyond doubt (p < 0.01, at least 3 launches a side); untested where the
    metric is not known by launch; unknown where a side does not have it. `ratio` is b/a: with `ci95_low` of the launches'
    geometric means, else of the two values.
    """

    metric: str
    unit: str
    a: float | None
    b: float | None
    ratio: float | None
    ci95_low: float | None
    ci95_high: float | None
    p_value: float | None
    change: Change


class FieldDifference(msgspec.Struct, frozen=True, kw_only=True):
    """What else differs: `path` in the record."""

    path: str
    a: Any
    b: Any


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """`warnings`: why the numbers may differ for another reason than the one looked for."""

    a: str
    b: str
    metrics: tuple[MetricDifference, ...]
    fields: tuple[FieldDifference, ...]
    warnings: tuple[str, ...]


def difference(a: Record, b: Record) -> Difference:
    """`b` against `a`. Metrics that neither has are left out."""
    every = (_metric(a, b, metric) for metric in METRICS.values())
    metrics = tuple(one for one in every if one.a is not None or one.b is not None)
    fields = tuple(_fields(a, b))
    warnings = (*_warnings(a, b, {one.path for one in fields}), *_odd_ratios(metrics))
    return Difference(a=a.id, b=b.id, metrics=metrics, fields=fields, warnings=warnings)


def _metric(a: Record, b: Record, metric: Metric) -> MetricDifference:
    old, new = value_of(a, metric), value_of(b, metric)
    found = None
    by_launch = values_by_launch(a, metric.name), values_by_launch(b, metric.name)
    if old is not None and new is not None:
        found = welch_ratio(*by_launch, told_step(metric, (a, b)))
    ratio = found.ratio if found is not None else new / old if old and new is not None else None
    return MetricDifference(
        metric=metric.name,
        unit=metric.unit,
        a=old,
        b=new,
        ratio=ratio,
        ci95_low=found.ci95_low if found else None,
        ci95_high=found.ci95_high if found else None,
        p_value=found.p_value if found else None,
        change=_change(metric, old, new, ratio, found.p_value if found else None, min(map(len, by_launch))),
    )


def _change(
    metric: Metric,
    old: float | None,
    new: float | None,
    ratio: float | None,
    p_value: float | None,
    launches: int,
) -> Change:
    if old is None or new is None:
        return "unknown"
    if old == new and p_value is None:
        return "no_difference"
    if p_value is None or ratio is None or launches < MIN_LAUNCHES:
        return "untested"
    if p_value >= SIGNIFICANCE:
        return "no_difference"
    return "better" if (ratio < 1) == metric.lower_is_better else "worse"


def _fields(a: Record, b: Record) -> Iterator[FieldDifference]:
    one, other = to_builtins(a), to_builtins(b)
    for part in _PARTS:
        if part != "environment" or None not in (one[part], other[part]):  # older records have none
            yield from _leaves(part, one[part], other[part])
    for name in ("governor", "charging", "screen_on", "throttled"):
        before = one["conditions"]["before"][name], other["conditions"]["before"][name]
        if before[0] != before[1]:
            yield FieldDifference(path=f"conditions.before.{name}", a=before[0], b=before[1])


def _leaves(path: str, a: Any, b: Any) -> Iterator[FieldDifference]:
    if path.rpartition(".")[2] in _SAME_SENSE or a == b:
        return
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in (*a, *(name for name in b if name not in a)):
            yield from _leaves(f"{path}.{name}", a.get(name), b.get(name))
    else:
        yield FieldDifference(path=path, a=a, b=b)


def _warnings(a: Record, b: Record, differing: set[str]) -> Iterator[str]:
    for record in (a, b):
        if record.verdict.state != "valid":
            yield f"{record.id} is {record.verdict.state}: {'; '.join(record.verdict.reasons)}"
    if "device.fingerprint" in differing or "device.address" in differing or "device.model" in differing:
        yield "the runs are of different devices"
    if any(path.startswith("runtime.") for path in differing):
        yield "the runtimes differ"
    if "plan.threads" in differing or "plan.cpus" in differing:
        yield "threads or CPUs differ"
    if "conditions.before.governor" in differing:
        yield "the governors differ"


def _odd_ratios(metrics: Sequence[MetricDifference]) -> Iterator[str]:
    """Values whose own ratio is another one than that of the launches: those were of several kinds, or had outliers."""
    for one in metrics:
        if not one.a or not one.b or not one.ratio or one.ci95_low is None:
            continue
        if abs(one.b / one.a / one.ratio - 1) > _ODD:
            title = METRICS[one.metric].title.lower()
            yield (
                f"{title}: b/a is of the geometric means over the launches, a and b are of all samples; "
                "the two part where launches of one run differ much"
            )
