"""Simulated devices whose truth is known, and what edgekit says of a run on one: for benchmarks/truth.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.benchmarking.evidence import Seen, evidence_of
from edgekit.benchmarking.plan import BenchOptions, make_plan
from edgekit.benchmarking.verdict import Verdict, judge
from edgekit.deployment.golden import Comparison
from edgekit.devices.telemetry import Snapshot
from edgekit.records import Conditions, Launch
from edgekit.stats import summarize
from edgekit.stats.agreement import launches_to_see_modes
from edgekit.transports.sim.latency import LatencyDraw, LatencyShape, LaunchDraw

Floats = NDArray[np.float64]


GAP_S = 0.2


UNSEEN = Snapshot(conditions=Conditions(), ticks=None, thermal_status=None, throttled=None)


USUAL = LatencyShape()
"""5 ms, 1 % noise within a launch, 0.3 % between launches, 0.2 % outliers."""


@dataclass(frozen=True)
class SimulatedRun:
    samples: tuple[Floats, ...]
    starts_us: tuple[float, ...]
    seconds: float


def timed(one: LaunchDraw) -> Floats:
    """As the runner does it by default: first inference, 10 warm-ups, at least 50 iterations and 1 s."""
    plan = make_plan(None, BenchOptions(seed=0))
    one.first_us()
    one.take(plan.warmup_iterations)
    end_us = one.now_us + plan.min_seconds * 1e6
    taken = [one.take(plan.iterations)]
    while one.now_us < end_us:
        taken.append(one.take(max(1, math.ceil((end_us - one.now_us) / one.shape.median_us / 1.1))))
    return np.concatenate(taken)


def simulate(
    shape: LatencyShape, seed: int, launches: int = 5, gap_s: float = GAP_S, pause_s: float = 0.0
) -> SimulatedRun:
    """Between launches the device spends `gap_s`, in which it drifts as under load, and `pause_s`, in which it does not.
    `seconds` is without the latter."""
    draw, now_s = LatencyDraw(shape, seed), 0.0
    samples: list[Floats] = []
    starts = []
    for index in range(launches):
        one = draw.launch(index, now_s)
        samples.append(timed(one))
        starts.append(one.now_us - float(samples[-1].sum()) + index * pause_s * 1e6)
        now_s = one.now_us / 1e6 + gap_s
    return SimulatedRun(tuple(samples), tuple(starts), now_s - gap_s)


def verdict_of(run: SimulatedRun) -> Verdict:
    """What a run is worth of which nothing but the latencies was seen."""
    plan = make_plan(None, BenchOptions(launches=len(run.samples), seed=0))
    launches = tuple(
        Launch(index=index, count=one.size, clock_resolution_ns=USUAL.clock_step_us * 1000)
        for index, one in enumerate(run.samples)
    )
    unchecked = Comparison("unchecked", "a simulation has no outputs")
    seen = Seen(launches, UNSEEN, UNSEEN, (), unchecked, cooled=None, not_set=(), own_cpu_us=0.0)
    return judge(evidence_of(plan, summarize(run.samples, starts_us=run.starts_us), seen, None))


def not_valid(
    shape_of: Callable[[int], LatencyShape],
    runs: int,
    seed: int,
    launches: int = 5,
    gap_s: float = GAP_S,
    pause_s: float = 0.0,
) -> float:
    """Share of runs that are suspect or invalid."""
    seeds = range(seed * 1_000_000, seed * 1_000_000 + runs)
    done = (simulate(shape_of(i), one, launches, gap_s, pause_s) for i, one in enumerate(seeds))
    return sum(verdict_of(run).state != "valid" for run in done) / runs


def scenarios(runs: int, seed: int) -> Iterator[tuple[str, Callable[[int], LatencyShape], int, str]]:
    """(what, shape of run i, launches, "bad", "healthy" or "" for a row without a bar)."""
    seconds = simulate(USUAL, seed).seconds
    moments = np.random.default_rng(seed).uniform(0.05, 0.95, runs) * seconds
    planned = launches_to_see_modes()

    def always(**change: object) -> Callable[[int], LatencyShape]:
        shape = replace(USUAL, **change)  # type: ignore[arg-type]
        return lambda _: shape

    def throttled(factor: float) -> Callable[[int], LatencyShape]:
        return lambda i: replace(USUAL, throttle_at_s=float(moments[i]), throttle_factor=factor)

    drift = {"drift": 0.03, "drift_seconds": seconds}
    two = (1.0, 1.05)
    yield "drift of +3 % over the run", always(**drift), 5, "bad"
    yield "drift of -3 % over the run", always(drift=-0.03, drift_seconds=seconds), 5, "bad"
    yield "drift of +3 %, autocorrelation 0.3", always(**drift, autocorrelation=0.3), 5, "bad"
    yield "drift of +3 %, launches differ by 1 %", always(**drift, launch_sd=0.01), 5, ""
    yield (
        "drift of +4 %, launches differ by 1 %",
        always(drift=0.04, drift_seconds=seconds, launch_sd=0.01),
        5,
        "bad",
    )
    yield "throttled by 10 % at a random moment", throttled(1.10), 5, "bad"
    yield "throttled by 30 % at a random moment", throttled(1.30), 5, "bad"
    yield "two modes 5 % apart, drawn for each iteration", always(modes=two), 5, "bad"
    yield "the same, 80 % and 20 %", always(modes=two, mode_shares=(0.8, 0.2)), 5, "bad"
    yield "the same, 90 % and 10 %", always(modes=two, mode_shares=(0.9, 0.1)), 5, ""
    yield "two modes 5 % apart that stay for 50 ms", always(modes=two, mode_seconds=0.05), 5, "bad"
    yield "two modes 5 % apart that stay for 0.3 s", always(modes=two, mode_seconds=0.3), 5, "bad"
    yield "two launch modes 5 % apart", always(launch_modes=two), planned, "bad"
    yield (
        "two launch modes 5 % apart, 0.5 % between launches",
        always(launch_modes=two, launch_sd=0.005),
        planned,
        "bad",
    )
    yield (
        "two launch modes 5 % apart, planned for a miss of 1 %",
        always(launch_modes=two),
        launches_to_see_modes(miss=0.01),
        "",
    )
    yield "two launch modes 5 % apart, with the default launches", always(launch_modes=two), 5, ""
    yield "healthy: usual", always(), 5, "healthy"
    yield (
        "healthy: very quiet (0.2 % within, 0.1 % between)",
        always(within_sd=0.002, launch_sd=0.001),
        5,
        "healthy",
    )
    yield "healthy: autocorrelation 0.3", always(autocorrelation=0.3), 5, "healthy"
    yield "healthy: 0.5 % outliers", always(outlier_share=0.005), 5, "healthy"
    yield "healthy: 0.5 % between launches", always(launch_sd=0.005), 5, "healthy"
    yield "healthy: 0.5 % between launches, 10 launches", always(launch_sd=0.005), 10, "healthy"
    yield "noisy: 3 % within launches", always(within_sd=0.03), 5, ""
    yield "noisy: 2 % between launches", always(launch_sd=0.02), 5, ""


def paused(seed: int) -> Iterator[tuple[str, LatencyShape, float, float, str]]:
    """(what, shape, gap_s, pause_s, kind as in `scenarios`): launches with pauses between them."""
    under_load = simulate(USUAL, seed, gap_s=0.0).seconds
    for pause_s in (1.0, 5.0):
        for launch_sd in (0.003, 0.005):
            what = f"healthy: {launch_sd:.1%} between launches, pauses of {pause_s:g} s"
            yield what, replace(USUAL, launch_sd=launch_sd), 0.0, pause_s, "healthy"
        for drift in (0.03, -0.03):
            what = f"drift of {drift:+.0%} over the time under load, pauses of {pause_s:g} s"
            yield what, replace(USUAL, drift=drift, drift_seconds=under_load), 0.0, pause_s, "bad"
    for pause_s in (1.0, 5.0):
        whole = simulate(USUAL, seed, gap_s=pause_s).seconds
        what = f"drift of +3% over the whole time, pauses of {pause_s:g} s"
        yield what, replace(USUAL, drift=0.03, drift_seconds=whole), pause_s, 0.0, ""
