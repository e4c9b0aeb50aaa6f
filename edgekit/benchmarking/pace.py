"""Doubts about whether latency kept still: drift, steps, modes, launches that disagree. Pure.

The thresholds are explained in docs/verdict.md, how often each is right in docs/measuring.md.
"""

from __future__ import annotations

from edgekit.stats.types import Stability

MAX_RUN_DRIFT = 0.03
MIN_TOLD_DRIFT = 0.01
"""A drift that is certain but smaller than this is not worth a doubt."""
MAX_NEVER_STEADY = 0.5
WARM_UP_SHARE = 0.3
"""A fall of latency within this first share of a launch is its warm-up."""


def pace_doubts(seen: Stability, step_iterations: int | None) -> list[str]:
    """Why the latencies are no repetitions of one quantity, in words with numbers. `step_iterations`: of the launch that
    has the step."""
    return [*_step(seen, step_iterations), *_modes(seen), *_launches(seen), *_drift(seen), *_steady(seen)]


def _step(seen: Stability, step_iterations: int | None) -> list[str]:
    if seen.step is None or seen.step_launch is None or seen.step_iteration is None:
        return []
    where = f"in launch {seen.step_launch + 1} at iteration {seen.step_iteration}"
    if seen.step < 0 and seen.step_iteration <= WARM_UP_SHARE * (step_iterations or 0):
        return [
            f"latency fell by {-seen.step:.1%} {where}: it was still warming up (raise --warmup-iterations)"
        ]
    return [f"latency {_moved(seen.step)} at once {where}"]


def _modes(seen: Stability) -> list[str]:
    if seen.modes_apart is None or seen.modes_share is None:
        return []
    return [
        f"latency has two modes within a launch, {seen.modes_apart:.1%} apart, with {seen.modes_share:.0%} of the "
        f"samples in the smaller one ({seen.modes_switches} changes between them)"
    ]


def _launches(seen: Stability) -> list[str]:
    if not seen.launches_disagree or seen.launch_spread is None or seen.launch_gap is None:
        return []
    return [
        f"launches disagree: they differ by up to {seen.launch_spread:.1%}; a gap of {seen.launch_gap:.1%} "
        f"parts {seen.launches_fast} faster from {seen.launches_slow} slower"
    ]


def _drift(seen: Stability) -> list[str]:
    value, low, high = seen.run_drift, seen.run_drift_low, seen.run_drift_high
    if value is None or low is None or high is None:
        return []
    between = f"98.5 % interval {low:+.1%} to {high:+.1%}"
    if seen.run_drift_certain and abs(value) >= MIN_TOLD_DRIFT:
        return [f"latency {_moved(value)} over the run ({between})"]
    if max(high, -low) >= MAX_RUN_DRIFT:
        return [
            f"too few samples for this noise: a drift of {MAX_RUN_DRIFT:.0%} over the run cannot be ruled out "
            f"({between}); raise --min-seconds"
        ]
    return []


def unseen_doubts(seen: Stability, hidden_drift: float | None) -> list[str]:
    """The same of launches that told a summary only: what these numbers leave room for. `hidden_drift`: the largest
    drift that a launch can have had, None where its summary does not bound it (`edgekit.benchmarking.summaries`)."""
    found = []
    if hidden_drift is None:
        found.append(
            "there are no samples, and no standard deviation above 0 was told: "
            "a drift within launches would not be seen"
        )
    elif hidden_drift > MAX_RUN_DRIFT:
        found.append(
            f"there are no samples, and the tool's standard deviation leaves room for a drift of {hidden_drift:.1%} "
            f"within a launch; {MAX_RUN_DRIFT:.0%} must be ruled out"
        )
    if not seen.launches_disagree and (seen.launch_spread or 0.0) > MAX_RUN_DRIFT:
        found.append(
            f"there are no samples, and launches differ by up to {seen.launch_spread:.1%}: a drift over the run of "
            f"{MAX_RUN_DRIFT:.0%} cannot be ruled out"
        )
    return found


def _steady(seen: Stability) -> list[str]:
    if seen.never_steady <= MAX_NEVER_STEADY * seen.judged_launches or not seen.judged_launches:
        return []
    return [f"{seen.never_steady} of {seen.judged_launches} launches never became steady"]


def _moved(share: float) -> str:
    return f"{'grew' if share > 0 else 'fell'} by {abs(share):.1%}"
