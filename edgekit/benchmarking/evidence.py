"""From what a measurement saw to evidence for the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.benchmarking.held_back import doubts_of, notes_of
from edgekit.benchmarking.plan import BenchPlan
from edgekit.benchmarking.summaries import hidden_drift
from edgekit.benchmarking.verdict import Evidence
from edgekit.deployment.golden import Comparison
from edgekit.devices.telemetry import Snapshot
from edgekit.records import Latency, Launch, Metric, Record, TelemetryPoint
from edgekit.records.sustained import Sustained

TICKS_PER_SECOND = 100.0
"""USER_HZ: the same on every ABI that Linux has (proc_stat(5), sysconf(_SC_CLK_TCK))."""
PAGE_BYTES = 4096.0
"""Memory of a process comes in pages; the smallest that the devices have."""
SETTLE_US = 200_000.0
"""A governor needs so long to answer to a load; frequencies before that are not held against the run."""


@dataclass(frozen=True)
class Seen:
    """All that a run saw, besides the latencies themselves."""

    launches: tuple[Launch, ...]
    before: Snapshot
    after: Snapshot
    telemetry: tuple[TelemetryPoint, ...]
    golden: Comparison
    cooled: bool | None
    not_set: tuple[str, ...]
    own_cpu_us: float | None
    """CPU time that the launches and their start took, all threads."""
    unmet: tuple[str, ...] = ()
    simulated: bool = False
    sustained: Sustained | None = None
    requested_accelerator: str = "cpu"


def evidence_of(plan: BenchPlan, latency: Latency, seen: Seen, temperature_limit_mc: int | None) -> Evidence:
    """What speaks for and against the run."""
    done = [launch for launch in seen.launches if launch.ok]
    return Evidence(
        launches_planned=plan.launches,
        launches_done=len(done),
        first_failure=next(
            (f"launch {one.index + 1}: {one.error}" for one in seen.launches if not one.ok and one.error),
            None,
        ),
        samples=latency.count,
        median_us=latency.median if latency.ci95_of == "median" else latency.mean,
        summaries=latency.source == "summaries",
        hidden_drift=hidden_drift(done),
        effective_samples=latency.stability.effective_count,
        interval_width=_interval_width(latency),
        drift=None if latency.drift is None else abs(latency.drift - 1),
        stability=latency.stability,
        clock_resolution_us=latency.resolution_us or clock_step_us(done) or None,
        throttled=throttled(seen.before, seen.after),
        thermal_status=max(
            (s for s in (seen.before.thermal_status, seen.after.thermal_status) if s is not None),
            default=None,
        ),
        max_temperature_mc=max_temperature_mc(seen),
        temperature_limit_mc=temperature_limit_mc,
        frequency_drop=frequency_drop(seen.telemetry, seen.launches),
        other_load=other_load(seen.before, seen.after, seen.own_cpu_us),
        swapped_pages=_grown(seen.before.swapped_pages, seen.after.swapped_pages),
        battery_percent=seen.after.conditions.battery_percent,
        charging=seen.after.conditions.charging,
        rebooted=rebooted(seen.before, seen.after),
        clock_skew_us=None if seen.simulated else clock_skew_us(seen.before, seen.after),
        run_us=_elapsed(seen.before.host_us, seen.after.host_us),
        golden=seen.golden.state,
        fewest_iterations=min((fewest_of(launch) for launch in done), default=None),
        streams=plan.streams,
        overlap_share=min((one.group.overlap_share for one in done if one.group is not None), default=None),
        planned_iterations=plan.iterations,
        step_iterations=step_iterations(latency, seen.launches),
        requested_accelerator=seen.requested_accelerator,
        actual_accelerator=actual_accelerator(done),
        fully_accelerated=fully_accelerated(done),
        cooled=seen.cooled,
        simulated=seen.simulated,
        sustained_slowdown=seen.sustained.worst_over_first if seen.sustained is not None else None,
        not_set=(*seen.not_set, *notes_of(seen.after)),
        unmet=(*seen.unmet, *doubts_of(seen.before, seen.after, seen.telemetry, seen.launches)),
    )


def fewest_of(launch: Launch) -> int:
    """Timed iterations of a process of the launch, whether they count or not: of the one that did the fewest."""
    return launch.count if launch.group is None else min(stream.count for stream in launch.group.streams)


def actual_accelerator(launches: Sequence[Launch]) -> str | None:
    """What ran the model, where all launches say the same."""
    told = {launch.actual_accelerator for launch in launches if launch.ok} - {None}
    return next(iter(told)) if len(told) == 1 else None


def fully_accelerated(launches: Sequence[Launch]) -> bool | None:
    """Whether it ran all of the model in every launch; None where that is not told, and without launches."""
    told = {launch.fully_accelerated for launch in launches if launch.ok}
    if False in told:
        return False
    return True if told == {True} else None


def step_iterations(latency: Latency, launches: Sequence[Launch]) -> int | None:
    """Iterations of the launch in which the step was seen; `step_launch` counts launches that gave samples."""
    step_launch = latency.stability.step_launch
    counts = [launch.count for launch in launches if launch.count]
    return counts[step_launch] if step_launch is not None and step_launch < len(counts) else None


def throttled(before: Snapshot, after: Snapshot) -> bool | None:
    """Whether the device held itself back before, after, or at any time between; None where it does not tell.

    By "after" the load is over: what happened meanwhile shows in the bits that are kept until the next boot.
    """
    if before.throttled is None and after.throttled is None:
        return None
    return bool(
        before.throttled or after.throttled or after.throttled_since_boot - before.throttled_since_boot
    )


def rebooted(before: Snapshot, after: Snapshot) -> bool | None:
    """Whether the device booted between the snapshots; None where it tells neither its boot nor its uptime."""
    if before.boot_id is not None and after.boot_id is not None:
        return before.boot_id != after.boot_id
    if before.uptime_us is not None and after.uptime_us is not None:
        return after.uptime_us < before.uptime_us
    return None


def clock_skew_us(before: Snapshot, after: Snapshot) -> float | None:
    """By how much more the device's clock went on than the host's; None where one is unknown, or after a reboot."""
    there, here = _elapsed(before.uptime_us, after.uptime_us), _elapsed(before.host_us, after.host_us)
    if there is None or here is None or rebooted(before, after):
        return None
    return there - here


def _elapsed(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _grown(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def clock_step_us(launches: Sequence[Launch]) -> float:
    """The coarsest step that a launch reports of its clock; 0 where none does."""
    return max((launch.clock_resolution_ns or 0 for launch in launches), default=0) / 1000


def told_step_us(record: Record) -> float:
    """By which steps the record's latencies are told: the clock's, or the last digit of what a tool prints."""
    return record.latency.resolution_us or clock_step_us(record.launches)


def told_step(metric: Metric, records: Sequence[Record]) -> float:
    """By which steps a metric of these records is told, in its unit: a difference that is no larger is none. 0 where there
    are no steps."""
    if metric.unit == "us":
        return max(map(told_step_us, records))
    return PAGE_BYTES if metric.unit == "bytes" else 0.0


def timed_from_us(launch: Launch) -> float | None:
    """When the timed iterations of a launch began, on the device's clock. Where the runner does not tell: they are the end
    of the process."""
    if launch.begin_us is not None:
        return launch.begin_us
    if launch.start_us is None or launch.usage.wall_us is None or launch.wall_us is None:
        return None
    return launch.start_us + max(0.0, launch.usage.wall_us - launch.wall_us)


def _interval_width(latency: Latency) -> float | None:
    centre = latency.median if latency.ci95_of == "median" else latency.mean
    if latency.ci95_low is None or latency.ci95_high is None or not centre:
        return None
    return (latency.ci95_high - latency.ci95_low) / centre


def max_temperature_mc(seen: Seen) -> int | None:
    """The hottest reading of any sensor, before, during or after."""
    during = [
        int(point.value) for point in seen.telemetry if point.unit == "mC" and point.value == point.value
    ]
    around = [
        s.conditions.temperature_mc
        for s in (seen.before, seen.after)
        if s.conditions.temperature_mc is not None
    ]
    minutes = seen.sustained.minutes if seen.sustained is not None else ()
    long = [int(minute.temperature_mc) for minute in minutes if minute.temperature_mc is not None]
    return max([*during, *around, *long], default=None)


def frequency_drop(telemetry: Sequence[TelemetryPoint], launches: Sequence[Launch]) -> float | None:
    """1 - lowest/highest of the fastest CPU's frequency while launches ran; None with fewer than two readings."""
    windows = [
        (launch.start_us + SETTLE_US, launch.start_us + launch.usage.wall_us)
        for launch in launches
        if launch.start_us is not None and launch.usage.wall_us is not None
    ]
    fastest: dict[float, float] = {}
    for point in telemetry:
        readable = point.value == point.value  # NaN: the CPU was offline
        if readable and point.unit == "kHz" and any(low <= point.t_us <= high for low, high in windows):
            fastest[point.t_us] = max(point.value, fastest.get(point.t_us, 0.0))
    if len(fastest) < 2 or max(fastest.values()) <= 0:
        return None
    return 1 - min(fastest.values()) / max(fastest.values())


def other_load(before: Snapshot, after: Snapshot, own_cpu_us: float | None) -> float | None:
    """Share of all CPU time that others took between the snapshots; None where it or one's own is not known."""
    if before.ticks is None or after.ticks is None or own_cpu_us is None:
        return None
    total = after.ticks.total - before.ticks.total
    if total <= 0:
        return None
    busy = after.ticks.busy - before.ticks.busy - own_cpu_us / 1e6 * TICKS_PER_SECOND
    return min(1.0, max(0.0, busy / total))
