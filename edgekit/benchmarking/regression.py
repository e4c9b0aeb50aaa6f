"""When a gate against a baseline that failed is called a regression. Pure.

One measurement that is slower than a limit is not yet a regression: launches differ, and a gate that cries wolf is
switched off. So a baseline gate that fails measures again, and is confirmed only where both measurements fail and
`is_worse` holds for all their launches together. False alarms of the whole, counted on simulated gates:
docs/measuring.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from statistics import fmean

import msgspec

from edgekit.benchmarking.evidence import told_step
from edgekit.benchmarking.gates import Gate, GateResult, check_gate
from edgekit.records import Record
from edgekit.records.metrics import metric
from edgekit.stats.comparing import welch_p_slower

SIGNIFICANCE = 1e-4
MIN_LAUNCHES = 3
"""On each side; the scatter of fewer says nothing, so a gate that failed stays failed."""
_BY_LAUNCH = {
    "median_latency": "median_us",
    "p50_latency": "median_us",
    "mean_latency": "mean_us",
    "first_inference": "first_inference_us",
    "load": "load_us",
    "throughput": "inferences_per_second",
    "peak_rss": "memory.peak_rss_bytes",
    "peak_pss": "memory.pss_bytes",
    "model_delta": "memory.model_delta_bytes",
}
"""Metrics that a record has for each launch, which is what a test of them needs."""


def is_worse(baseline: Sequence[float], now: Sequence[float], step: float = 0.0) -> tuple[bool, float | None]:
    """Whether `now` is larger beyond doubt, and the p-value; values of one launch each, rounded to multiples of `step`: it
    has to be so with each of them rounded the other way.

    Three conditions. Welch's test is significant at 1 in 10,000; alone it errs more often than that with 5 launches in the
    baseline. Every launch is larger than every one of the baseline: 1 chance in 3003 for 5 and 10 launches that do not
    differ, however they are distributed. And neither side's launches differ among each other by as much as the two sides
    do: two launch modes, of which the baseline happened to see one, are no regression.
    """
    baseline = [value + step / 2 for value in baseline]
    now = [value - min(step, value) / 2 for value in now]
    p_value = welch_p_slower(baseline, now)
    if p_value is None:
        return False, None
    apart = fmean(map(math.log, now)) - fmean(map(math.log, baseline))
    spread = max(math.log(max(side) / min(side)) for side in (baseline, now))
    return p_value <= SIGNIFICANCE and min(now) > max(baseline) and spread < apart, p_value


def confirm(gate: Gate, first: Record, second: Record, baseline: Record) -> GateResult:
    """The result of a gate that failed in `first`, after it was measured again.

    `passed` is False for a regression that is confirmed, and where no test can be made: a gate that cannot be tested
    must not become one that cannot fail. A metric that has no value for each launch (a percentile, an accuracy) is
    confirmed where both measurements fail, without a test.
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
            note=_noted(done, "both measurements failed; this metric has no test by launches"),
        )
    worse_is_more = gate.op in ("<=", "<")
    step = told_step(metric(gate.metric), (baseline, first, second))
    worse, p_value = is_worse(old, new, step) if worse_is_more else is_worse(new, old, step)
    done = msgspec.structs.replace(done, p_value=p_value)
    if min(len(old), len(new)) < MIN_LAUNCHES:
        why = f"too few launches to test: {len(old)} in the baseline, {len(new)} now, {MIN_LAUNCHES} needed on each side"
        return _untested(done, why)
    if p_value is None:
        return _untested(done, "a launch has a value of 0: nothing to test")
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


def _untested(result: GateResult, why: str) -> GateResult:
    return msgspec.structs.replace(
        result, passed=False, confirmed=False, note=f"both measurements failed; {why}"
    )


def _unconfirmed(result: GateResult, why: str) -> GateResult:
    return msgspec.structs.replace(
        result, passed=True, confirmed=False, note=_noted(result, f"not confirmed: {why}")
    )


def _noted(result: GateResult, text: str) -> str:
    """What was noted of the baseline stays."""
    return f"{text}; {result.note}" if result.note else text
