"""Truth tests of energy (D2-b3): what edgekit says of power traces whose truth is known.

    python benchmarks/energy.py [--runs 1000] [--seed 1]

Windows: jitter, lost readings, wraps, float32 counters, meters beside the device with clocks of their own; each is within 1 % or
refused. Intervals: energy per inference of launches that differ, with noisy readings and idle power that wanders; 92
to 98 % of the intervals have the truth in them. Made-up devices, the functions that a real one's readings go
through. Exits 1 where a bar is missed; the same seed prints the same numbers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.meters.beside import QUIET, Marked, anywhere, expected
from edgekit.meters.marker import parts_ms
from edgekit.stats.energy import Load, PerInference, Span, energy_per_inference
from edgekit.stats.markers import ExternalClock, clock_of_offsets, height_of_marker, on_device_clock
from edgekit.stats.traces import (
    Refused,
    Trace,
    energy_in_window,
    float32_step_uj,
    trace_of_counter,
    trace_of_power,
)

Floats = NDArray[np.float64]
WITHIN = 0.01
COVERED = (0.92, 0.98)
S = 1e6


@dataclass(frozen=True)
class Device:
    """Power in mW. `launch_sd`, `noise` (of a reading) and `wander` (of idle power, slow) are shares."""

    idle_mw: float = 2500.0
    added_mw: float = 3500.0
    launches: int = 5
    seconds: float = 2.0
    idle_seconds: float = 5.0
    pause_seconds: float = 0.6
    launch_sd: float = 0.01
    noise: float = 0.02
    wander: float = 0.0
    idle_drift: float = 0.0
    period_ms: float = 100.0
    jitter: float = 0.05
    step_uj: float = 0.0
    """A counter that steps so; 0: samples of power."""
    inferences_per_s: float = 400.0


@dataclass(frozen=True)
class Drawn:
    trace: Trace | Refused
    before: Span
    after: Span
    loads: tuple[Load, ...]
    truth_uj: float


def draw(device: Device, random: np.random.Generator) -> Drawn:
    """One measurement: idle, launches with pauses between them, idle."""
    spans, at = [], device.idle_seconds * S
    for _ in range(device.launches):
        at += device.pause_seconds * S
        spans.append(Span(at, at + device.seconds * S))
        at += device.seconds * S
    before, after = (
        Span(0.0, device.idle_seconds * S),
        Span(at + 0.2 * S, at + (0.2 + device.idle_seconds) * S),
    )
    grid = np.arange(0.0, after.end_us, 1000.0)
    power = device.idle_mw * (1 + device.idle_drift * grid / grid[-1])
    if device.wander:
        # an AR(1) of one second's memory, so slower than the readings
        steps = random.normal(size=grid.size // 100 + 2)
        slow = np.empty(steps.size)
        slow[0] = steps[0]
        for number in range(1, steps.size):
            slow[number] = 0.905 * slow[number - 1] + 0.426 * steps[number]
        power = power * (1 + device.wander * np.interp(grid, np.arange(steps.size) * 1e5, slow))
    loads, truth = [], device.added_mw / device.inferences_per_s * 1000
    for span in spans:
        factor = 1 + device.launch_sd * random.normal()
        inside = (grid >= span.start_us) & (grid < span.end_us)
        power = power + inside * device.added_mw * factor
        loads.append(Load(span, round(device.inferences_per_s * device.seconds)))
    return Drawn(read(device, grid, power, random), before, after, tuple(loads), truth)


def read(device: Device, grid: Floats, power: Floats, random: np.random.Generator) -> Trace | Refused:
    period = device.period_ms * 1000
    count = int(grid[-1] / period)
    t = (np.arange(count) + random.uniform()) * period + random.normal(size=count) * device.jitter * period
    t = np.unique(np.clip(t, 0, grid[-1]))
    if device.step_uj:
        counter = np.interp(t, grid, np.concatenate(([0.0], np.cumsum(power[1:]))))
        counter += random.uniform() * 1e9
        return trace_of_counter(
            t, np.floor(counter / device.step_uj) * device.step_uj, step_uj=device.step_uj
        )
    exact = np.interp(t, grid, power)
    return trace_of_power(t, exact * (1 + device.noise * random.normal(size=t.size)))


INTERVALS: dict[str, Device] = {
    "10 Hz samples, noise 2 %": Device(),
    "10 Hz samples, noise 10 %": Device(noise=0.10),
    "launches differ by 3 %": Device(launch_sd=0.03),
    "launches alike, noise 5 %": Device(launch_sd=0.0, noise=0.05),
    "idle wanders by 3 % over seconds": Device(wander=0.03),
    "idle grows by 10 %": Device(idle_drift=0.10),
    "3 launches": Device(launches=3, launch_sd=0.02),
    "20 launches": Device(launches=20, launch_sd=0.02),
    "little above idle": Device(added_mw=400.0, launch_sd=0.02, seconds=3.0),
    "counter, step 1 uJ": Device(step_uj=1.0),
    "counter, step 16 mJ (float32 after days)": Device(step_uj=16_384.0),
    "counter, step 65 mJ, launches alike": Device(step_uj=65_536.0, launch_sd=0.0, seconds=3.0),
    "counter, step 65 mJ, launches differ by 0.3 %": Device(step_uj=65_536.0, launch_sd=0.003, seconds=3.0),
    "rails by perfetto, 4 Hz, times in ms": Device(period_ms=250.0, step_uj=3000.0 * 13**0.5, seconds=2.5),
    "rails by power-stats, deltas each 1.1 s": Device(
        period_ms=1100.0, step_uj=36.0, seconds=10.5, idle_seconds=10.0, jitter=0.02
    ),
    "tegrastats, 5 Hz": Device(period_ms=200.0),
    "PMIC of a Pi 5, 4 Hz": Device(period_ms=250.0, seconds=3.0),
    "1 Hz meter beside the device, 10 s launches": Device(period_ms=1000.0, seconds=10.0, idle_seconds=20.0),
    "1 Hz fuel gauge, 20 s launches": Device(period_ms=1000.0, seconds=20.0, idle_seconds=20.0, noise=0.05),
}


def coverage(device: Device, runs: int, random: np.random.Generator) -> tuple[float, float, float, int]:
    """Share of intervals with the truth in them, mean error, mean half width (shares of the truth), refusals."""
    held, errors, widths, refused = 0, [], [], 0
    for _ in range(runs):
        drawn = draw(device, random)
        found: PerInference | Refused = (
            drawn.trace
            if isinstance(drawn.trace, Refused)
            else energy_per_inference(drawn.trace, drawn.before, drawn.after, drawn.loads)
        )
        if isinstance(found, Refused):
            refused += 1
            continue
        low, high = found.ci95_uj
        held += low <= drawn.truth_uj <= high
        if drawn.truth_uj:
            errors.append(found.per_inference_uj / drawn.truth_uj - 1)
            widths.append((high - low) / 2 / drawn.truth_uj)
    told = runs - refused
    if not errors:
        return 0.0, 0.0, 0.0, refused
    return held / told, float(np.mean(errors)), float(np.mean(widths)), refused


Case = Callable[[np.random.Generator], tuple[float, Trace | Refused, Span]]
"""The true energy of a window in uJ, the trace, the window."""


def _ripple(random: np.random.Generator) -> tuple[Floats, Floats, Span, float]:
    """Times in us (1 kHz), a load's power with ripple, the window of the load, its energy in uJ."""
    grid = np.arange(0.0, 20 * S, 1000.0)
    span = Span(5 * S, 15 * S)
    inside = (grid >= span.start_us) & (grid < span.end_us)
    ripple = 1 + 0.05 * np.sin(2 * np.pi * grid / S * random.uniform(0.3, 3.0))
    power = 1000.0 + inside * 3000.0 * ripple
    return grid, power, span, float(power[inside].sum())


def _samples(loss: float, gap_s: float, jitter: float) -> Case:
    def case(random: np.random.Generator) -> tuple[float, Trace | Refused, Span]:
        grid, power, span, truth = _ripple(random)
        t = np.sort(np.arange(0.05, 19.9, 0.1) * S + random.normal(size=199) * jitter * 1e5)
        keep = random.uniform(size=t.size) >= loss
        begin = random.uniform(6.0, 13.0) * S
        keep &= ~((t > begin) & (t < begin + gap_s * S))
        t = t[keep]
        return truth, trace_of_power(t, np.interp(t, grid, power)), span

    return case


def _counter(range_uj: float | None, float32_at: float | None) -> Case:
    def case(random: np.random.Generator) -> tuple[float, Trace | Refused, Span]:
        grid, power, span, truth = _ripple(random)
        t = np.arange(0.05, 19.9, 0.1) * S
        counter = np.interp(t, grid, np.concatenate(([0.0], np.cumsum(power[1:])))) + random.uniform() * 1e6
        step = 1.0
        if float32_at is not None:
            counter = (counter + float32_at).astype(np.float32).astype(np.float64)
            step = float32_step_uj(float32_at)
        if range_uj is not None:
            counter = np.mod(np.floor(counter), range_uj)
        return truth, trace_of_counter(t, counter, range_uj=range_uj, step_uj=step), span

    return case


def pulses_at(start_us: float, parts: Sequence[int]) -> tuple[Span, ...]:
    """A marker's pulses, of the lengths of pulses and pauses in ms."""
    edges = start_us + np.cumsum([0, *parts]) * 1000.0
    return tuple(Span(float(edges[i]), float(edges[i + 1])) for i in range(0, len(parts), 2))


def clock_beside(
    trace: Trace, first: tuple[Span, ...], later: tuple[Span, ...], known_us: float
) -> ExternalClock | Refused:
    """As `edgekit.meters.beside` sets a meter's clock: the first marker when nothing but a little behind it is there yet (until
    `known_us` of the meter's clock), the second where the first says."""
    until = int(np.searchsorted(trace.t_us, known_us))
    known = Trace(trace.t_us[:until], trace.energy_uj[:until])
    found = anywhere(known, first)
    if isinstance(found, Refused):
        return found
    marked = Marked(first, found, height_of_marker(known, first, found))
    then = expected(marked, trace, later)
    return then if isinstance(then, Refused) else clock_of_offsets(first, later, (found, then))


def _external(period_s: float, noise: float, mean: bool, periods: float) -> Case:
    """A meter beside the device whose clock shows anything and is off by up to 0.5 %: a reading each `period_s`, of that moment or the
    mean since the last; a load of so many periods, of which the outer 5 % are left out, as of a launch."""

    def case(random: np.random.Generator) -> tuple[float, Trace | Refused, Span]:
        period_us = period_s * S
        first = pulses_at(max(14 * S, QUIET * sum(parts_ms(period_us)) * 1000), parts_ms(period_us))
        start_us = first[-1].end_us + max(8 * S, 20 * period_us)
        load = Span(start_us, start_us + periods * period_us)
        later = pulses_at(load.end_us + max(8 * S, 20 * period_us), parts_ms(period_us, mirrored=True))
        idle_mw, adds = 2000.0, {load: random.uniform(500, 4000)}
        adds |= dict.fromkeys((*first, *later), random.uniform(500, 3000))
        t = np.arange(0.0, later[-1].end_us + 3 * S + 2 * period_us, period_us) + random.uniform(0, period_us)
        t = np.sort(t + random.normal(size=t.size) * 0.05 * period_us)
        if mean:
            energy = idle_mw * t
            for one, added in adds.items():
                energy += added * np.clip(t - one.start_us, 0, one.end_us - one.start_us)
            t, power = t[1:], np.diff(energy) / np.diff(t)
        else:
            power = np.full(t.size, idle_mw)
            for one, added in adds.items():
                power[(t >= one.start_us) & (t < one.end_us)] += added
        power = power + random.normal(size=t.size) * noise * idle_mw
        offset_us, drift = random.uniform(-1e9, 1e9), random.uniform(-0.005, 0.005)
        external = trace_of_power((t - offset_us) / (1 + drift), power)
        assert isinstance(external, Trace)
        known_us = (first[-1].end_us + 2 * S + period_us - offset_us) / (1 + drift)
        clock = clock_beside(external, first, later, known_us)
        edge = 0.05 * periods * period_us
        span = Span(load.start_us + edge, load.end_us - edge)
        truth = (idle_mw + adds[load]) * (span.end_us - span.start_us) / 1000
        return truth, clock if isinstance(clock, Refused) else on_device_clock(external, clock), span

    return case


WINDOWS: dict[str, Case] = {
    "10 Hz, jitter 20 % of the period": _samples(0.0, 0.0, 0.2),
    "2 % of the readings lost": _samples(0.02, 0.0, 0.05),
    "20 % of the readings lost": _samples(0.20, 0.0, 0.05),
    "a gap of 1 s": _samples(0.0, 1.0, 0.05),
    "counter that wraps": _counter(7.5e6, None),
    "float32 counter at 6.1e8 uJ": _counter(None, 6.1e8),
    "float32 counter at 1.9e11 uJ": _counter(None, 1.9e11),
    "float32 counter at 1.0e13 uJ": _counter(None, 1.0e13),
    "external meter of 1 kHz, clock off by <= 0.5 %": _external(0.001, 0.05, False, 3000),
    "external meter of 10 Hz, the same": _external(0.1, 0.01, True, 20),
    "external meter of 1 Hz, the same": _external(1.0, 0.01, False, 9.5),
    "external meter of 1 Hz that tells means, the same": _external(1.0, 0.01, True, 9.5),
    "external meter of 0.4 Hz that tells means, the same": _external(2.5, 0.01, True, 9.5),
    "external meter of 1 Hz, noise 10 %": _external(1.0, 0.10, True, 9.5),
}


def windows(case: Case, runs: int, random: np.random.Generator) -> tuple[float, int]:
    """The largest error as a share of the truth, and how many were refused."""
    worst, refused = 0.0, 0
    for _ in range(runs):
        truth, trace, span = case(random)
        found = (
            trace
            if isinstance(trace, Refused)
            else energy_in_window(trace, span.start_us, span.end_us, tolerance=WITHIN)
        )
        if isinstance(found, Refused):
            refused += 1
        else:
            worst = max(worst, abs(found.energy_uj / truth - 1))
    return worst, refused


def main() -> int:
    parser = argparse.ArgumentParser(description="Energy against known truth")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    random = np.random.default_rng(wanted.seed)
    missed = []
    few = max(20, wanted.runs // 10)
    print(f"| window energy, {few} traces each | largest error | refused |\n|---|---|---|")
    for name, case in WINDOWS.items():
        worst, refused = windows(case, few, random)
        print(f"| {name} | {worst:.2%} | {refused} |", flush=True)
        missed += [name] if worst > WITHIN else []
    print(
        f"\n| energy per inference, {wanted.runs} runs each | covered | mean error | half width | refused |"
    )
    print("|---|---|---|---|---|")
    for name, device in INTERVALS.items():
        covered, error, width, refused = coverage(device, wanted.runs, random)
        print(f"| {name} | {covered:.1%} | {error:+.2%} | {width:.2%} | {refused} |", flush=True)
        missed += [name] if not COVERED[0] <= covered <= COVERED[1] else []
    lost = replace(INTERVALS["10 Hz samples, noise 2 %"], added_mw=0.0)
    covered, _, _, refused = coverage(lost, wanted.runs, random)
    print(f"\na load that adds nothing: {wanted.runs - refused} of {wanted.runs} were told as energy")
    for name in missed:
        print(f"missed: {name}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
