"""Latency of a run whose launches are summaries and nothing else: what a tool told, put together. Pure.

The launch is the unit of repetition here as everywhere, so what is between launches can be told: an interval, their
spread. What lies within a launch is the tool's own; of it only a bound is known.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from edgekit.parse.benchmark_run import LatencySummary
from edgekit.records import Latency, Launch, Stability
from edgekit.stats.agreement import agreement
from edgekit.stats.latency import MIN_BEYOND, PERCENTILES_PERMILLE, median_interval

KEPT = "the tool keeps its samples, and tells a summary of each launch only"
NO_MEDIAN = "the tool tells averages only: see mean (gates: mean_latency)"
NOT_TOLD = "the tool does not tell it"
_OF_SAMPLES = ("stddev", "mad", "outliers", "drift", "autocorrelation", "stability")


def only_summaries(launches: Sequence[Launch]) -> bool:
    """Whether the launches that ended well told summaries, and none gave its samples."""
    done = [launch for launch in launches if launch.ok]
    return bool(done) and all(launch.told is not None and not launch.sampled for launch in done)


def centre_us(launch: Launch) -> float | None:
    """What stands for a launch: its median; the mean where the tool tells no median."""
    return launch.median_us if launch.median_us is not None else launch.mean_us


def latency_of_summaries(launches: Sequence[Launch]) -> Latency:
    """From what the tool told of each launch that ended well.

    - `count`: their sum. `min`, `max`: over all launches. `mean`: of all inferences, where every launch tells how many.
    - `median` and the percentiles: the median over the launches of what each tells, where all of them do and where at
      least 10 samples of each launch lie beyond; else null. Others than told are never computed from those.
    - `ci95_low`, `ci95_high`, `between_launch_cv`: of the launches' medians, or of their means (`ci95_of`); the interval
      is widened by half a step of what the tool prints on each side.
    """
    done = [launch for launch in launches if launch.ok and launch.told is not None]
    told = [launch.told.latency for launch in done if launch.told is not None]
    unavailable = dict.fromkeys(_OF_SAMPLES, KEPT)
    medians = _all_told(told, "median_us")
    means = _all_told(told, "avg_us")
    if medians is None:
        unavailable["median"] = unavailable["p50"] = NO_MEDIAN if means is not None else NOT_TOLD
    if means is None:
        unavailable["mean"] = NOT_TOLD
    centres = medians if medians is not None else means or []
    step_us = max((one.resolution_us for one in told), default=0.0)
    low, high = median_interval(centres)
    if low is not None and high is not None:
        low, high = max(0.0, low - step_us / 2), high + step_us / 2
    else:
        unavailable["ci95"] = (
            "one launch cannot tell how much launches differ; at least 2 are needed" if centres else NOT_TOLD
        )
        unavailable["between_launch_cv"] = unavailable["ci95"]
    percentiles = _percentiles(told, unavailable)
    together = agreement(centres)
    return Latency(
        source="summaries",
        resolution_us=step_us or None,
        ci95_of="median" if medians is not None else "mean",
        count=sum(one.count or 0 for one in told),
        launches=len(told),
        median=statistics.median(medians) if medians else None,
        mean=_mean(told, means),
        min=_extreme(min, _all_told(told, "min_us"), "min", unavailable),
        max=_extreme(max, _all_told(told, "max_us"), "max", unavailable),
        ci95_low=low,
        ci95_high=high,
        between_launch_cv=_cv(centres),
        first_inference=_middle([launch.first_inference_us for launch in done]),
        load=_middle([launch.load_us for launch in done]),
        outliers=None,
        stability=Stability(
            launch_spread=together.spread if together else None,
            launch_gap=together.gap if together else None,
            launches_fast=together.fast if together else None,
            launches_slow=together.slow if together else None,
            launches_disagree=together.disagree if together else None,
        ),
        unavailable=unavailable,
        **percentiles,
    )


def hidden_drift(launches: Sequence[Launch]) -> float | None:
    """The largest share by which the second half of a launch can be slower (or faster) on average than the first: twice
    the standard deviation over the mean, as two halves that are d apart have a variance of (d/2)² between them, which is
    no more than that of the whole. What the tool prints is taken at the worse end of its last digit.

    None where a launch does not tell both: then nothing bounds it.
    """
    worst = 0.0
    for launch in launches:
        if not launch.ok or launch.told is None:
            continue
        one = launch.told.latency
        half_step = one.resolution_us / 2
        if one.std_us is None or one.avg_us is None or one.avg_us <= half_step:
            return None
        worst = max(worst, 2 * (one.std_us + half_step) / (one.avg_us - half_step))
    return worst


def _percentiles(told: Sequence[LatencySummary], unavailable: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    counts = [one.count for one in told]
    fewest = min((count for count in counts if count is not None), default=0) if None not in counts else 0
    for name, permille in PERCENTILES_PERMILLE.items():
        values = _all_told(told, "median_us" if name == "p50" else f"{name}_us")
        beyond = (fewest - 1) - (fewest - 1) * permille // 1000 if fewest else 0
        if values is None:
            unavailable.setdefault(name, NOT_TOLD)
        elif beyond < MIN_BEYOND and name != "p50":
            unavailable[name] = (
                f"only {beyond} of a launch's {fewest} samples lie beyond it; {MIN_BEYOND} are needed"
            )
        else:
            found[name] = statistics.median(values)
    return found


def _all_told(told: Sequence[LatencySummary], name: str) -> list[float] | None:
    """The value of every launch; None where one does not have it (or no tool has such a value)."""
    values = [getattr(one, name, None) for one in told]
    known = [value for value in values if value is not None]
    return known if known and len(known) == len(values) else None


def _mean(told: Sequence[LatencySummary], means: Sequence[float] | None) -> float | None:
    """Weighted by the launches' inferences where all tell how many, else each launch counts alike."""
    if means is None:
        return None
    counts = [one.count for one in told if one.count]
    if len(counts) != len(means):
        return statistics.fmean(means)
    return statistics.fmean(means, counts)


def _extreme(
    which: Any, values: Sequence[float] | None, name: str, unavailable: dict[str, str]
) -> float | None:
    if values is None:
        unavailable[name] = NOT_TOLD
        return None
    found: float = which(values)
    return found


def _cv(centres: Sequence[float]) -> float | None:
    if len(centres) < 2 or statistics.fmean(centres) <= 0:
        return None
    return statistics.stdev(centres) / statistics.fmean(centres)


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
