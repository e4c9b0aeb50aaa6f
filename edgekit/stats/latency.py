"""From raw latencies to a summary: pure, nothing dropped, nothing invented. Loads NumPy when called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError
from edgekit.stats.stability import stability_of
from edgekit.stats.student import t_quantile
from edgekit.stats.types import Latency

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

PERCENTILES_PERMILLE = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}
MIN_BEYOND = 10
"""A percentile is told only where at least this many samples lie beyond it."""
CONFIDENCE = 0.95
FAR_OUT = 3.0
"""Tukey's outer fences, in interquartile ranges (Exploratory Data Analysis, 1977, 2D)."""


def summarize(
    launches: Sequence[ArrayLike],
    *,
    first_inference_us: Sequence[float | None] = (),
    load_us: Sequence[float | None] = (),
    starts_us: Sequence[float | None] = (),
    clock_step_us: float = 0.0,
    paces: Sequence[ArrayLike] = (),
) -> Latency:
    """Summarize the raw latencies of several launches (processes), each float64 microseconds in order.

    - `median`, `mean`, `min`, `max`, `stddev` (n - 1), `mad` (median absolute deviation from the median,
      not scaled) and the percentiles (Hyndman and Fan's type 7, NumPy's default) are over all samples.
    - `ci95_low`, `ci95_high`: see `median_interval`; widened by half a step of the clock (`clock_step_us`) on each
      side, as a median of such readings is no finer. `between_launch_cv`: standard deviation (n - 1) of the
      launches' medians over their mean; null with one launch.
    - `outliers`: samples outside Tukey's outer fences of their own launch; counted, never dropped.
    - `drift`: median of the last half over median of the first half, of the launch in which that is farthest
      from 1 (a median over launches would hide a few that grew hot). 1.02 is 2 % slower towards the end; null
      where no launch has 20 samples. `autocorrelation`: lag 1, within a launch; the median launch's.
    - `first_inference`, `load`: medians over the launches where they are known.
    - `stability`: see `edgekit.stats.stability.stability_of`. `starts_us`: when each launch began to be timed, on
      the device's clock; needed to tell a drift over the run with pauses between launches.
    - `paces`: what outliers, drift, autocorrelation and stability are judged on, where that is not the latencies
      themselves: of launches of several processes at once, whose latencies differ by process and overlap in time. One
      array a launch, of as many values; their sum is the launch's time.

    A launch without samples counts for nothing. Raises InputError (E_SAMPLES) for NaN, infinite or negative
    latencies and for arrays that are not one-dimensional.
    """
    import numpy as np

    arrays = [_checked(index, launch) for index, launch in enumerate(launches)]
    begins = [start for start, array in zip_longest(starts_us, arrays) if array is not None and array.size]
    paced = [_checked(index, pace) for index, pace in enumerate(paces)] or arrays
    arrays, paced = ([array for array in kept if array.size] for kept in (arrays, paced))
    starts: dict[str, Any] = {
        "first_inference": _median_known(first_inference_us),
        "load": _median_known(load_us),
    }
    if not arrays:
        why = "no launch gave a sample"
        return Latency(unavailable={"median": why, "ci95": why}, **starts)
    samples = np.concatenate(arrays)
    median = float(np.median(samples))
    percentiles, unavailable = _percentiles(samples)
    low, high = median_interval([float(np.median(array)) for array in arrays])
    if low is not None and high is not None:
        low, high = max(0.0, low - clock_step_us / 2), high + clock_step_us / 2
    else:
        unavailable["ci95"] = "one launch cannot tell how much launches differ; at least 2 are needed"
        unavailable["between_launch_cv"] = unavailable["ci95"]
    return Latency(
        count=int(samples.size),
        launches=len(arrays),
        median=median,
        mean=float(np.mean(samples)),
        min=float(np.min(samples)),
        max=float(np.max(samples)),
        stddev=float(np.std(samples, ddof=1)) if samples.size > 1 else None,
        mad=float(np.median(np.abs(samples - median))),
        ci95_low=low,
        ci95_high=high,
        between_launch_cv=_between_launch_cv(arrays),
        outliers=sum(int(np.count_nonzero(outlier_mask(array))) for array in paced),
        drift=_farthest_from_one([_drift(array) for array in paced]),
        autocorrelation=_median_known([_autocorrelation(array) for array in paced]),
        stability=stability_of(paced, begins),
        unavailable=unavailable,
        **percentiles,
        **starts,
    )


def median_interval(
    launch_medians_us: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """Confidence interval of the median latency: Student's t on the logarithms of the launches' medians.

    Samples of one launch share its memory layout, page colours and clock decisions, so they are no
    independent repetitions: the launch is the unit of repetition, and an interval from the pooled samples
    would be far too narrow (Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013;
    Georges, Buytaert and Eeckhout, "Statistically Rigorous Java Performance Evaluation", OOPSLA 2007, who
    use Student's t for fewer than 30 launches). A percentile bootstrap over launches covers too little at
    so few: simulated, 76 % with 3 launches and 85 to 94 % with 5 or 10, where 95 % is asked, as its interval is
    never wider than the range of the launches' medians. What moves a
    launch is a factor more than a summand, hence logarithms, which also keep the lower end above 0. With
    two or three launches the interval is wide; that is what two or three launches can tell.

    (None, None) with fewer than two launches. A median of 0 us (below the clock's resolution) makes
    logarithms impossible; the interval is then computed on the plain values.
    """
    count = len(launch_medians_us)
    if count < 2:
        return None, None
    plain = min(launch_medians_us) <= 0
    values = list(launch_medians_us) if plain else [math.log(value) for value in launch_medians_us]
    centre = math.fsum(values) / count
    deviation = math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (count - 1))
    half = t_quantile(confidence, count - 1) * deviation / math.sqrt(count)
    if plain:
        return max(0.0, centre - half), centre + half
    return _exp(centre - half), _exp(centre + half)


def outlier_mask(launch: Floats) -> NDArray[np.bool_]:
    """Which samples of one launch lie outside Tukey's outer fences (3 interquartile ranges).

    Where a coarse clock makes the quartiles equal, the clock's step (the smallest difference seen) stands
    in for their range.
    """
    import numpy as np

    low, high = np.percentile(launch, [25, 75])
    spread = high - low
    if spread == 0:
        steps = np.diff(np.unique(launch))
        spread = steps.min() if steps.size else 0.0
    fence = FAR_OUT * spread
    far: NDArray[np.bool_] = (launch < low - fence) | (launch > high + fence)
    return far


def _checked(index: int, launch: ArrayLike) -> Floats:
    import numpy as np

    array = np.asarray(launch, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(
            f"launch {index}: expected one row of latencies, got {array.shape}", code="E_SAMPLES"
        )
    if array.size and (not np.isfinite(array).all() or array.min() < 0):
        raise InputError(f"launch {index}: a latency is negative or not a number", code="E_SAMPLES")
    return array


def _percentiles(samples: Floats) -> tuple[dict[str, Any], dict[str, str]]:
    import numpy as np

    values: dict[str, Any] = {}
    unavailable: dict[str, str] = {}
    for name, permille in PERCENTILES_PERMILLE.items():
        last = samples.size - 1
        beyond = last - last * permille // 1000
        if beyond >= MIN_BEYOND:
            values[name] = float(np.percentile(samples, permille / 10))
        else:
            unavailable[name] = (
                f"only {beyond} of {samples.size} samples lie beyond it; {MIN_BEYOND} are needed"
            )
    return values, unavailable


def _between_launch_cv(arrays: Sequence[Floats]) -> float | None:
    import numpy as np

    medians = np.array([np.median(array) for array in arrays])
    if medians.size < 2 or medians.mean() <= 0:
        return None
    return float(medians.std(ddof=1) / medians.mean())


def _drift(launch: Floats) -> float | None:
    import numpy as np

    half = launch.size // 2
    if half < MIN_BEYOND:
        return None
    first, last = float(np.median(launch[:half])), float(np.median(launch[-half:]))
    return last / first if first > 0 else None


def _farthest_from_one(ratios: Sequence[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio]
    return max(known, key=lambda ratio: abs(math.log(ratio)), default=None)


def _autocorrelation(launch: Floats) -> float | None:
    import numpy as np

    centred = launch - launch.mean()
    total = float(np.dot(centred, centred))
    if launch.size < MIN_BEYOND or total <= 0:
        return None
    return float(np.dot(centred[:-1], centred[1:])) / total


def _median_known(values: Sequence[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    middle = len(known) // 2
    return known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2


def _exp(value: float) -> float:
    """exp that ends at the largest float: two wildly different launches may ask for more."""
    return math.exp(min(value, 709.0))
