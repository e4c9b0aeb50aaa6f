"""From the rails that a meter read to one trace of energy, and to the series that are kept beside the record. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.meters.base import Rails
from edgekit.records import TelemetryPoint
from edgekit.stats.traces import Refused, Trace, sum_of, trace_of_counter, trace_of_power, unwrapped


def trace_of(groups: Sequence[Rails]) -> Trace | Refused:
    """All rails added up. A moment at which one rail could not be read is a moment without a reading: a sum of the
    others would be a wrong number."""
    traces = []
    for group in groups:
        trace = _power(group) if group.unit == "mW" else _counters(group)
        if isinstance(trace, Refused):
            return trace
        traces.append(trace)
    return sum_of(traces) if traces else Refused("the meter gave no readings")


def points_of(meter: str, groups: Sequence[Rails]) -> list[TelemetryPoint]:
    """Every reading of every rail, NaN where it could not be read."""
    return [
        TelemetryPoint(t_us, f"{meter} {rail}", value, group.unit, meter)
        for group in groups
        for rail, values in group.values.items()
        for t_us, value in zip(group.t_us.tolist(), values.tolist(), strict=True)
    ]


def _power(group: Rails) -> Trace | Refused:
    return trace_of_power(group.t_us, sum(group.values.values()))


def _counters(group: Rails) -> Trace | Refused:
    import numpy as np

    counters = np.array(list(group.values.values()), dtype=np.float64)
    known = np.isfinite(counters).all(axis=0)
    if not known.any():
        return Refused("the meter's counters could not be read")
    total = np.zeros(int(known.sum()))
    for rail, counter in zip(group.values, counters[:, known], strict=True):
        counted = unwrapped(counter, group.range_uj.get(rail))
        if isinstance(counted, Refused):
            return counted
        total += counted
    step_uj = group.step_uj * math.sqrt(len(group.values))
    return trace_of_counter(group.t_us[known], total, step_uj=step_uj)
