"""Whether a measurement can be trusted, and why not. Pure: evidence in, verdict out.

    invalid   the numbers do not say what they seem to say (throttled, wrong outputs, launches missing)
    suspect   the numbers are real but noisy or thin; look at the reasons before acting on them
    valid     nothing was seen against them

What could not be seen is a note, not a reason: an unknown temperature alone never makes a run suspect.
The thresholds are explained in docs/verdict.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.benchmarking.pace import pace_doubts, unseen_doubts
from edgekit.stats.types import Stability

State = Literal["valid", "suspect", "invalid"]

MIN_LAUNCHES = 3
MIN_SAMPLES = 30
MAX_DRIFT = 0.10
MAX_FREQUENCY_DROP = 0.10
MAX_OTHER_LOAD = 0.25
MAX_INTERVAL_WIDTH = 0.20
MIN_CLOCK_STEPS = 100
THERMAL_STATUS_MODERATE = 2
MAX_SUSTAINED_SLOWDOWN = 1.05
SIMULATED = "the device is simulated: nothing was measured, the numbers are drawn as its address says"
MAX_SWAPPED_PAGES = 256
"""A MiB of pages of 4 KiB."""
MIN_BATTERY_PERCENT = 20.0
MIN_OVERLAP = 0.5
MAX_CLOCK_SKEW_US = 1e6
MAX_CLOCK_SKEW = 0.02


@dataclass(frozen=True)
class Evidence:
    """What was seen while measuring; None is "could not be seen".

    Ratios are fractions (0.05 is 5 %). `drift` is the largest |second half / first half - 1| of a launch's
    medians, `stability` what was seen over the whole run; `frequency_drop` is 1 - lowest/highest CPU frequency seen under load; `other_load` is the share
    of all CPU time that other processes took meanwhile; `clock_skew_us` is the device's clock against the host's
    over a run of `run_us`. `summaries`: there are no samples, only what a tool told of each launch; `median_us` is then
    its mean where it tells no median, and `hidden_drift` the largest that a launch can have had unseen.
    """

    launches_planned: int
    launches_done: int
    samples: int
    median_us: float | None
    first_failure: str | None = None
    """Which launch failed first, and why, in words."""
    effective_samples: float | None = None
    interval_width: float | None = None
    drift: float | None = None
    stability: Stability = field(default=Stability())
    summaries: bool = False
    hidden_drift: float | None = None
    clock_resolution_us: float | None = None
    throttled: bool | None = None
    thermal_status: int | None = None
    max_temperature_mc: int | None = None
    temperature_limit_mc: int | None = None
    frequency_drop: float | None = None
    other_load: float | None = None
    swapped_pages: int | None = None
    battery_percent: float | None = None
    charging: bool | None = None
    rebooted: bool | None = None
    clock_skew_us: float | None = None
    run_us: float | None = None
    golden: Literal["passed", "failed", "unchecked"] = "unchecked"
    requested_accelerator: str = "cpu"
    actual_accelerator: str | None = None
    fully_accelerated: bool | None = None
    cooled: bool | None = None
    fewest_iterations: int | None = None
    planned_iterations: int | None = None
    step_iterations: int | None = None
    """Of the launch that has the step; launches take time, not iterations, so they differ."""
    simulated: bool = False
    streams: int | None = None
    overlap_share: float | None = None
    """Of the launch whose streams ran together for the least of their time."""
    sustained_slowdown: float | None = None
    """Slowest minute of a long load over its first; the latency is of the launches before it."""
    unmet: tuple[str, ...] = ()
    """What the device was to be (screen, charging, battery, at full speed) and was not, in words."""
    not_set: tuple[str, ...] = field(default=())
    """Settings that were asked for and could not be made, in words."""


@dataclass(frozen=True)
class Verdict:
    state: State
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def judge(evidence: Evidence) -> Verdict:
    """The verdict, with every reason and note in words."""
    fatal = _fatal(evidence)
    doubts = _doubts(evidence)
    state: State = "invalid" if fatal else "suspect" if doubts else "valid"
    return Verdict(state, (*fatal, *doubts), _notes(evidence))


def _fatal(seen: Evidence) -> tuple[str, ...]:
    found = []
    if seen.launches_done < seen.launches_planned:
        why = f" ({seen.first_failure})" if seen.first_failure else ""
        found.append(f"only {seen.launches_done} of {seen.launches_planned} launches ended well{why}")
    if seen.median_us is None or (seen.samples == 0 and not seen.summaries):  # a tool may not tell how many
        found.append("no latency was measured")
    if seen.golden == "failed":
        found.append("the outputs on the device differ from the expected ones")
    if seen.rebooted:
        found.append("the device booted anew while it was measured")
    if seen.throttled:
        found.append("the device throttled while it was measured")
    if seen.thermal_status is not None and seen.thermal_status >= THERMAL_STATUS_MODERATE:
        found.append(f"Android reported thermal status {seen.thermal_status} (2 is moderate throttling)")
    if seen.actual_accelerator is not None and seen.actual_accelerator != seen.requested_accelerator:
        found.append(f"asked for {seen.requested_accelerator}, but {seen.actual_accelerator} ran it")
    return tuple(found)


def _doubts(seen: Evidence) -> tuple[str, ...]:
    found = []
    if seen.launches_planned < MIN_LAUNCHES:
        found.append(
            f"{seen.launches_planned} launches cannot show how launches differ (at least {MIN_LAUNCHES})"
        )
    if 0 < seen.samples < MIN_SAMPLES:
        found.append(f"only {seen.samples} samples")
    elif seen.effective_samples is not None and 0 < seen.effective_samples < MIN_SAMPLES:
        found.append(
            f"{seen.samples} samples that follow each other are worth only {seen.effective_samples:.0f} independent ones"
        )
    found += pace_doubts(seen.stability, seen.step_iterations)
    if seen.summaries:
        found += unseen_doubts(seen.stability, seen.hidden_drift)
    found += _ratio(seen.interval_width, MAX_INTERVAL_WIDTH, "the 95 % interval of the latency is {} wide")
    found += _ratio(seen.drift, MAX_DRIFT, "latency drifted by {} within a launch")
    found += _ratio(seen.frequency_drop, MAX_FREQUENCY_DROP, "the CPU frequency fell by {} under load")
    found += _ratio(seen.other_load, MAX_OTHER_LOAD, "other processes took {} of the CPU time")
    if seen.swapped_pages is not None and seen.swapped_pages > MAX_SWAPPED_PAGES:
        found.append(f"the device swapped {seen.swapped_pages} pages: it is short of memory")
    if (
        seen.battery_percent is not None
        and seen.battery_percent < MIN_BATTERY_PERCENT
        and seen.charging is not True
    ):
        found.append(f"the battery was at {seen.battery_percent:.0f} %: many devices save power below 20 %")
    if seen.clock_skew_us is not None and abs(seen.clock_skew_us) > MAX_CLOCK_SKEW_US + MAX_CLOCK_SKEW * (
        seen.run_us or 0.0
    ):
        found.append(
            f"the device's clock and the host's went apart by {seen.clock_skew_us / 1e6:+.1f} s during the run: one of "
            "them jumped, or was asleep"
        )
    if _over(seen.max_temperature_mc, seen.temperature_limit_mc):
        found.append(
            f"{_celsius(seen.max_temperature_mc)} is above the profile's {_celsius(seen.temperature_limit_mc)}"
        )
    if (
        seen.fewest_iterations
        and seen.planned_iterations
        and seen.fewest_iterations < seen.planned_iterations
    ):
        found.append(
            f"a launch was cut after {seen.fewest_iterations} of {seen.planned_iterations} iterations: it took too long"
        )
    if seen.overlap_share is not None and seen.overlap_share < MIN_OVERLAP:
        found.append(
            f"the {seen.streams} streams ran all at once for only {seen.overlap_share:.0%} of their time: raise --min-seconds"
        )
    if seen.cooled is False:
        found.append("the device did not cool to the profile's temperature in time")
    found += seen.unmet
    if seen.fully_accelerated is False:
        found.append("the accelerator took only a part of the model")
    if (
        seen.clock_resolution_us
        and seen.median_us
        and seen.median_us < MIN_CLOCK_STEPS * seen.clock_resolution_us
    ):
        what = "times are told in steps of" if seen.summaries else "the clock steps by"
        found.append(f"{what} {seen.clock_resolution_us:g} us: too coarse for this model")
    return tuple(found)


def _notes(seen: Evidence) -> tuple[str, ...]:
    notes = [SIMULATED] if seen.simulated else []
    notes += seen.not_set
    if seen.streams is not None and seen.streams > 1:
        notes.append(
            f"{seen.streams} processes were measured together: memory is the sum over them, in which each counts the pages "
            "that they share (PSS counts them once); one process with as many interpreters is another thing"
        )
    if seen.max_temperature_mc is None:
        notes.append("no temperature sensor could be read")
    if seen.throttled is None and seen.thermal_status is None:
        notes.append("whether the device throttles could not be seen")
    if seen.frequency_drop is None:
        notes.append("no CPU frequency could be read while it ran")
    if seen.actual_accelerator is None and seen.requested_accelerator != "cpu" and seen.launches_done:
        notes.append(f"whether {seen.requested_accelerator} ran it is not proven (--require-accelerator)")
    if seen.summaries:
        notes.append(
            "there are no samples, only the tool's summary of each launch: within a launch nothing was seen but its "
            "spread"
        )
    elif seen.samples >= MIN_SAMPLES and seen.stability.run_drift is None:
        notes.append(
            "launches are too short to tell whether latency drifts or jumps: at least 20 iterations each"
        )
    if seen.sustained_slowdown is not None and seen.sustained_slowdown > MAX_SUSTAINED_SLOWDOWN:
        notes.append(
            f"under sustained load the slowest minute took {seen.sustained_slowdown:.2f} times the first"
            " (a gate: sustained_slowdown<=1.1)"
        )
    if seen.golden == "unchecked":
        notes.append("the outputs on the device were not compared")
    return tuple(notes)


def _ratio(value: float | None, limit: float, text: str) -> list[str]:
    if value is None or value <= limit:
        return []
    return [text.format(f"{value:.0%}") + f"; more than {limit:.0%}"]


def _over(value: int | None, limit: int | None) -> bool:
    return value is not None and limit is not None and value > limit


def _celsius(value_mc: int | None) -> str:
    return "?" if value_mc is None else f"{value_mc / 1000:.0f} C"
