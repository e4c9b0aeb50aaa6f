"""A long launch, minute by minute: latency, frequency and temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from edgekit.benchmarking.evidence import timed_from_us
from edgekit.benchmarking.launches import BESIDE_FAILED, job_of, launch_part
from edgekit.benchmarking.plan import BenchPlan
from edgekit.benchmarking.samples import samples_of
from edgekit.deployment import Release
from edgekit.deployment.launching import launch
from edgekit.deployment.runtime_there import Installed
from edgekit.devices import Device
from edgekit.devices.sampling import sampled
from edgekit.errors import DeviceLost
from edgekit.events import Event, Sink
from edgekit.records import TelemetryPoint
from edgekit.records.samples import Series, series_of
from edgekit.records.sustained import Minute, Sustained

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MINUTE_US = 60e6
LATENCY = "sustained latency"
"""Name of the series in which every sample of the long launch is kept beside the record."""
MAX_SAMPLES = 20e6
"""Of a long launch: 160 MB on the device and here."""
KEPT_SAMPLES = 2_000_000
"""So many of them are kept beside the record."""
SPARE = 1.2
"""The launch is cut where it takes so much longer than asked, and a minute."""
MIN_SAMPLES_P95 = 200
"""Ten samples beyond it, as everywhere (edgekit.stats)."""
LEAST_MINUTE = 0.1
"""Less of a minute than this is added to the one before."""
WHOLE = 0.9
"""A minute that has less than this of its time does not stand for one."""


@dataclass(frozen=True)
class LongLaunch:
    """`found`: None where it was left out or failed; `note` then says why. `series`: telemetry and latencies."""

    found: Sustained | None = None
    series: tuple[Series, ...] = ()
    note: str | None = None


def sustained(
    release: Release,
    plan: BenchPlan,
    installed: Installed,
    device: Device,
    scratch: str,
    median_us: float | None,
    sink: Sink,
) -> LongLaunch:
    """One more launch, as long as the plan says, after those that the latency is taken from; `median_us` is theirs. Where it
    fails, what was measured before is worth no less: that is a note. Raises DeviceLost."""
    expected = plan.sustained_minutes * MINUTE_US / max(median_us or 0.0, 1e-3)
    if expected > MAX_SAMPLES:
        possible = MAX_SAMPLES * (median_us or 0.0) / MINUTE_US
        return LongLaunch(
            note=f"no sustained load: {expected / 1e6:.0f} million samples are more than {MAX_SAMPLES / 1e6:.0f} million; "
            f"with this model --sustained can be {possible:.1f}"
        )
    try:
        return _run(release, plan, installed, device, scratch, sink)
    except DeviceLost:
        raise
    except BESIDE_FAILED as error:
        return LongLaunch(note=f"no sustained load: {error.code}: {error.message}")


def _run(
    release: Release, plan: BenchPlan, installed: Installed, device: Device, scratch: str, sink: Sink
) -> LongLaunch:
    seconds = plan.sustained_minutes * 60
    index = plan.launches
    job = job_of(release, plan, scratch, index)
    job = structs.replace(
        job, iterations=1, min_seconds=seconds, max_seconds=seconds * SPARE + 60, outputs=None
    )
    sink(Event("sustained", f"{plan.sustained_minutes:g} minutes", device=device.address))
    started_us = device.clock_us()
    with sampled(device) as telemetry:
        done = launch(device, installed, job, cwd=scratch, nice=plan.nice)
    raw = samples_of(done, job, device)
    begin_us = timed_from_us(launch_part(index, index, plan.seed, started_us, done, raw)) or started_us
    return LongLaunch(
        by_minute(raw, begin_us, telemetry.points),
        (*series_of(telemetry.points), latency_series(raw, begin_us)),
    )


def latency_series(samples_us: Floats, start_us: float) -> Series:
    """When each ended, and what it took. Of more than KEPT_SAMPLES every second, third, ... is kept, as the name says."""
    import numpy as np

    step = max(1, math.ceil(samples_us.size / KEPT_SAMPLES))
    name = LATENCY if step == 1 else f"{LATENCY} (1 of {step})"
    ends = start_us + np.cumsum(samples_us)
    return Series(
        name=name, unit="us", path="", t_us=ends[::step].copy(), value=samples_us[::step].astype(np.float64)
    )


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
    whole_minutes, rest_us = divmod(float(ends[-1]), minute_us)
    # what runs over the end by a moment is of the last minute
    count = max(1, int(whole_minutes) + (rest_us >= LEAST_MINUTE * minute_us))
    bounds = [*np.searchsorted(ends, np.arange(count) * minute_us), samples_us.size]
    by_number: dict[int, list[TelemetryPoint]] = {}
    for point in telemetry:
        if point.value == point.value:  # NaN: it could not be read
            by_number.setdefault(int((point.t_us - start_us) // minute_us), []).append(point)
    minutes = tuple(
        _minute(number, samples_us[bounds[number] : bounds[number + 1]], by_number.get(number, []))
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


def _minute(number: int, own: Floats, within: Sequence[TelemetryPoint]) -> Minute:
    import numpy as np

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
