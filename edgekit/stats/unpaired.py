"""Two runs that were not interleaved, by their launches. Pure.

Nothing cancels out here: what differed between the two times and places is in the ratio, so a difference says less than
one of `edgekit.stats.comparing.paired_ratio`. The launch is the unit: its iterations share its memory layout and its
clock, so taking them for independent samples would make every difference significant (Kalibera and Jones,
"Rigorous benchmarking in reasonable time", ISMM 2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from edgekit.stats.comparing import CONFIDENCE, MAX_DF
from edgekit.stats.student import t_central_probability, t_quantile


@dataclass(frozen=True)
class UnpairedRatio:
    """b over a. Interval and `p_value` are None with fewer than two launches on a side."""

    ratio: float
    ci95_low: float | None
    ci95_high: float | None
    p_value: float | None

    @property
    def differs(self) -> bool | None:
        """Whether the interval leaves out 1; None where there is none."""
        if self.ci95_low is None or self.ci95_high is None:
            return None
        return not self.ci95_low <= 1 <= self.ci95_high


def unpaired_ratio(a: Sequence[float], b: Sequence[float]) -> UnpairedRatio | None:
    """The ratio of the geometric means of the launches' values (their medians, say; any unit), with Welch's interval on
    their logarithms, degrees of freedom rounded down. None where a side is empty or has a value that is not above 0."""
    if not a or not b or min(*a, *b) <= 0:
        return None
    old, new = [math.log(value) for value in a], [math.log(value) for value in b]
    difference = fmean(new) - fmean(old)
    if min(len(old), len(new)) < 2:
        return UnpairedRatio(math.exp(difference), None, None, None)
    parts = [variance(side) / len(side) for side in (old, new)]
    error = math.sqrt(sum(parts))
    ratio = math.exp(difference)
    if error == 0:
        return UnpairedRatio(ratio, ratio, ratio, 1.0 if difference == 0 else 0.0)
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (old, new), strict=True))
    df = min(MAX_DF, max(1, int(sum(parts) ** 2 / spread)))
    half = t_quantile(CONFIDENCE, df) * error
    return UnpairedRatio(
        ratio=ratio,
        ci95_low=math.exp(difference - half),
        ci95_high=math.exp(difference + half),
        p_value=max(0.0, 1 - t_central_probability(abs(difference) / error, df)),
    )
