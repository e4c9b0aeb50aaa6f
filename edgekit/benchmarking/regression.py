"""When a gate against a baseline that failed is called a regression. Pure.

One measurement that is slower than a limit is not yet a regression: launches differ, and a gate that cries wolf is
switched off. So a baseline gate that fails measures again, and is confirmed only where both measurements fail, every one
of their launches is slower than every launch of the baseline, and Welch's test of all of them against the baseline's is
significant at 1 in 10,000. False alarms of the whole, counted on simulated gates: docs/measuring.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from edgekit.benchmarking.gates import Gate, GateResult, check_gate
from edgekit.records import Record
from edgekit.records.metrics import metric
from edgekit.stats.comparing import welch_p_slower

SIGNIFICANCE = 1e-4
_BY_LAUNCH = {
    "median_latency": "median_us",
    "p50_latency": "median_us",
    "first_inference": "first_inference_us",
    "load": "load_us",
    "peak_rss": "memory.peak_rss_bytes",
    "peak_pss": "memory.pss_bytes",
    "model_delta": "memory.model_delta_bytes",
}
"""Metrics that a record has for each launch, which is what a test of them needs."""


def is_worse(baseline: Sequence[float], now: Sequence[float]) -> tuple[bool, float | None]:
    """Whether `now` is larger beyond doubt, and the p-value; values of one launch each.

    Set apart from end to end: 1 chance in 3003 for 5 and 10 launches that do not differ, however their values are
    distributed (launch modes too, which Welch's test does not know about).
    """
    p_value = welch_p_slower(baseline, now)
    apart = bool(baseline) and bool(now) and min(now) > max(baseline)
    return apart and p_value is not None and p_value <= SIGNIFICANCE, p_value


def confirm(gate: Gate, first: Record, second: Record, baseline: Record) -> GateResult:
    """The result of a gate that failed in `first`, after it was measured again.

    `passed` is False only for a regression that is confirmed. A metric that has no value for each launch
    (a percentile, an accuracy) is confirmed where both measurements fail, without a test.
    """
    one, two = check_gate(gate, first, baseline), check_gate(gate, second, baseline)
    done = msgspec.structs.replace(one, second=two.measured)
    if two.passed:
        return _unconfirmed(done, "it passed when it was measured again")
    if two.measured is None or one.measured is None or one.limit is None:
        return msgspec.structs.replace(done, passed=False, confirmed=False)
    old, new = values_by_launch(baseline, gate.metric), values_by_launch(first, gate.metric)
    new += values_by_launch(second, gate.metric)
    if not old or not new:
        return msgspec.structs.replace(
            done,
            passed=False,
            confirmed=True,
            note="both measurements failed; this metric has no test by launches",
        )
    worse_is_more = gate.op in ("<=", "<")
    worse, p_value = is_worse(old, new) if worse_is_more else is_worse(new, old)
    done = msgspec.structs.replace(done, p_value=p_value)
    if not worse:
        return _unconfirmed(
            done, "both measurements failed, but launches differ too much to call it a regression"
        )
    return msgspec.structs.replace(done, passed=False, confirmed=True)


def values_by_launch(record: Record, name: str) -> list[float]:
    """The metric of each launch that ended well; empty where launches do not have it."""
    path = _BY_LAUNCH.get(metric(name).name)
    if path is None:
        return []
    values = [attrgetter(path)(launch) for launch in record.launches if launch.ok]
    return [float(value) for value in values if value is not None]


def _unconfirmed(result: GateResult, why: str) -> GateResult:
    return msgspec.structs.replace(result, passed=True, confirmed=False, note=f"not confirmed: {why}")
