"""A long launch, minute by minute: latency, frequency and temperature (D1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from edgekit.benchmarking.evidence import timed_from_us
from edgekit.benchmarking.launches import job_of, launch_part, read_samples
from edgekit.benchmarking.plan import BenchPlan
from edgekit.deployment import Release
from edgekit.deployment.runtime_there import Installed, launch
from edgekit.devices import Device
from edgekit.devices.sampling import sampled
from edgekit.events import Event, Sink
from edgekit.records import TelemetryPoint
from edgekit.records.sustained import Minute, Sustained

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MINUTE_US = 60e6
LATENCY = "sustained latency"
"""Name of the series in which every sample of the long launch is kept beside the record."""
SPARE = 1.2
"""The launch is cut where it takes so much longer than asked, and a minute."""
MIN_SAMPLES_P95 = 200
"""Ten samples beyond it, as everywhere (edgekit.stats)."""
WHOLE = 0.9
"""A minute that has less than this of its time does not stand for one."""


def run_sustained(
    release: Release, plan: BenchPlan, installed: Installed, device: Device, scratch: str, sink: Sink
) -> tuple[Sustained, tuple[TelemetryPoint, ...]]:
    """One more launch, as long as the plan says, after those that the latency is taken from. Returns what was seen by
    the minute, and all of its samples and telemetry. Raises what a launch raises."""
    seconds = plan.sustained_minutes * 60
    index = plan.launches
    job = job_of(release, plan, scratch, index)
    job = structs.replace(
        job, iterations=1, min_seconds=seconds, max_seconds=seconds * SPARE + 60, outputs=None
    )
    sink(Event("sustained", f"{plan.sustained_minutes:g} minutes", device=device.address))
    started_us = device.clock_us()
    with sampled(device) as series:
        done = launch(device, installed, job, cwd=scratch)
    raw = read_samples(device.agent.get(job.samples), done.result.iterations, device.address)
    begin_us = timed_from_us(launch_part(index, index, plan.seed, started_us, done, raw)) or started_us
    points = [TelemetryPoint(t, LATENCY, v, "us") for t, v in _timeline(raw, begin_us)]
    return by_minute(raw, begin_us, series.points), (*series.points, *points)


def _timeline(samples_us: Floats, start_us: float) -> Iterator[tuple[float, float]]:
    """(when it ended, latency) of every sample."""
    import numpy as np

    return zip((start_us + np.cumsum(samples_us)).tolist(), samples_us.tolist(), strict=True)


def by_minute(
    samples_us: Floats, start_us: float, telemetry: Sequence[TelemetryPoint], *, minute_us: float = MINUTE_US
) -> Sustained:
    """`samples_us`: float64 latencies of one launch in order, one after the other without a gap that counts;
    `start_us`: when the first began, on the clock of the telemetry. An iteration belongs to the minute in which it
    ended."""
    import numpy as np

    if not samples_us.size:
        return Sustained(minutes=())
    ends = np.cumsum(samples_us)
    count = int(ends[-1] // minute_us) + 1
    bounds = [*np.searchsorted(ends, np.arange(count) * minute_us), samples_us.size]
    minutes = tuple(
        _minute(number, samples_us[bounds[number] : bounds[number + 1]], start_us, telemetry, minute_us)
        for number in range(count)
    )
    whole = [
        m.median_us for m in minutes if m.median_us is not None and _covered(m, ends[-1], minute_us) >= WHOLE
    ]
    if len(whole) < 2:
        return Sustained(minutes=minutes)
    return Sustained(
        minutes=minutes,
        last_over_first=whole[-1] / whole[0],
        worst_over_first=max(whole) / whole[0],
    )


def _covered(minute: Minute, total_us: float, minute_us: float) -> float:
    return min(1.0, (total_us - minute.minute * minute_us) / minute_us)


def _minute(
    number: int, own: Floats, start_us: float, telemetry: Sequence[TelemetryPoint], minute_us: float
) -> Minute:
    import numpy as np

    begin = start_us + number * minute_us
    within = [p for p in telemetry if begin <= p.t_us < begin + minute_us and p.value == p.value]
    fastest: dict[float, float] = {}
    for point in within:
        if point.unit == "kHz":
            fastest[point.t_us] = max(point.value, fastest.get(point.t_us, 0.0))
    seconds = float(own.sum()) / 1e6
    return Minute(
        minute=number,
        count=int(own.size),
        median_us=float(np.median(own)) if own.size else None,
        p95_us=float(np.percentile(own, 95)) if own.size >= MIN_SAMPLES_P95 else None,
        inferences_per_s=own.size / seconds if seconds > 0 else None,
        frequency_khz=float(np.median(list(fastest.values()))) if fastest else None,
        temperature_mc=max((p.value for p in within if p.unit == "mC"), default=None),
    )
