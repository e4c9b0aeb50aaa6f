"""Whether a whole run drifted: slopes inside its launches and between them, put together. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from edgekit.stats.levels import Levels
from edgekit.stats.student import t_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.985
"""Two-sided, so that a drift as large as the interval's end is missed in fewer than one run of a hundred."""
CERTAIN = 0.998
"""A run is told to have drifted where an interval of this confidence leaves out 0."""
MAX_DF = 200


@dataclass(frozen=True)
class Slope:
    """Growth of the logarithm of latency per second, its squared standard error, its degrees of freedom."""

    value: float
    variance: float
    df: float


@dataclass(frozen=True)
class RunDrift:
    """Share by which latency grew over a run's time under load, with a 98.5 % interval; whether it is certain that it
    drifted at all."""

    value: float
    low: float
    high: float
    certain: bool


def run_drift(launches: Sequence[Levels], starts_s: Sequence[float]) -> RunDrift | None:
    """Drift over the run; `starts_s` is when each launch's first sample began, on the device's clock.

    The slope inside launches knows nothing of the pauses between them (a process that starts, a model that loads), so
    the time under load is what growth is told over, and what it can be ruled out for: stretched over pauses, its error
    would make long pauses look like noise. A growth that goes on in pauses is seen in the launches' levels; where it is
    certain over the whole time, and larger, that is what is told. None where no launch has levels.
    """
    if not launches:
        return None
    ends_s = list(accumulate(one.seconds for one in launches))
    under_load = _drift_over(launches, [0.0, *ends_s[:-1]])
    certain = [
        one for one in (under_load, _drift_over(launches, starts_s)) if one is not None and one.certain
    ]
    return max(certain, key=lambda one: abs(one.value)) if certain else under_load


def _drift_over(launches: Sequence[Levels], starts_s: Sequence[float]) -> RunDrift | None:
    """Launches differ for reasons that are no drift, so a line through all of a run's samples would call their
    differences a drift. Two estimates that do not share that: the slope inside launches, pooled, whose error
    comes from the scatter of block means about it; and the slope through the launches' levels, whose error
    comes from how launches scatter about it (from 3 launches on). They are weighted by their precision (Graybill
    and Deal, Biometrics 15, 1959), with Satterthwaite's degrees of freedom.
    """
    slopes = [slope for slope in (_inside(launches), _between(launches, starts_s)) if slope is not None]
    if not slopes:
        return None
    slope = combine(slopes)
    first = min(starts_s)
    last = max(start + one.seconds for start, one in zip(starts_s, launches, strict=True))
    df, error = min(MAX_DF, max(1, int(slope.df))), math.sqrt(slope.variance)
    half = t_quantile(CONFIDENCE, df) * error
    low, value, high = (
        math.expm1(max(-50.0, min(50.0, rate * (last - first))))
        for rate in (slope.value - half, slope.value, slope.value + half)
    )
    return RunDrift(value, low, high, certain=abs(slope.value) > t_quantile(CERTAIN, df) * error)


def combine(slopes: Sequence[Slope]) -> Slope:
    """Weighted by precision; a slope without scatter (variance 0) is certain and wins."""
    certain = [slope for slope in slopes if slope.variance <= 0]
    if certain:
        return certain[0]
    weights = [1 / slope.variance for slope in slopes]
    total = math.fsum(weights)
    value = math.fsum(w * slope.value for w, slope in zip(weights, slopes, strict=True)) / total
    df = total**2 / math.fsum(w**2 / slope.df for w, slope in zip(weights, slopes, strict=True))
    return Slope(value, 1 / total, df)


def _inside(launches: Sequence[Levels]) -> Slope | None:
    import numpy as np

    time = np.concatenate([one.at_s - one.at_s.mean() for one in launches])
    level = np.concatenate([one.means - one.means.mean() for one in launches])
    spread = float(time @ time)
    df = level.size - len(launches) - 1
    if spread <= 0 or df < 1:
        return None
    value = float(time @ level) / spread
    rest = level - value * time
    variance = float(rest @ rest) / df / spread
    return Slope(value, variance * _inflation(rest, len(launches)), df)


def _inflation(rest: Floats, launches: int) -> float:
    """By how much blocks that resemble their neighbours (a mode that stays) enlarge the slope's variance: an
    AR(1)'s (1 + r) / (1 - r), where r is larger than chance makes it."""
    import numpy as np

    table = rest.reshape(launches, -1)
    total = float(rest @ rest)
    if total <= 0:
        return 1.0
    r = float(np.sum(table[:, :-1] * table[:, 1:])) / total
    return (1 + r) / (1 - r) if 2 / math.sqrt(rest.size) < r < 1 else 1.0


def _between(launches: Sequence[Levels], starts_s: Sequence[float]) -> Slope | None:
    import numpy as np

    if len(launches) < 3:
        return None
    middle = np.array([start + one.at_s.mean() for start, one in zip(starts_s, launches, strict=True)])
    level = np.array([one.means.mean() for one in launches])
    time = middle - middle.mean()
    spread = float(time @ time)
    if spread <= 0:
        return None
    value = float(time @ level) / spread
    rest = level - level.mean() - value * time
    df = len(launches) - 2
    # few launches may lie on a line by chance, but cannot truly agree better than their own blocks let them
    own = float(np.mean([np.var(np.diff(one.means)) / 2 / one.means.size for one in launches]))
    return Slope(value, max(float(rest @ rest) / df, own) / spread, df)
