"""Whether latencies within launches come from two modes: a valley between two peaks, told by counts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_SAMPLES = 40
MIN_APART = 0.03
"""Modes nearer to each other than this are not told."""
MIN_SHARE = 0.05
"""What is rarer is a heap of outliers, which are marked as such."""
MIN_SIGNIFICANCE = 4.0
WINDOWS = 9
MIN_CLOCK_STEPS = 3.0


@dataclass(frozen=True)
class Valley:
    """How many samples lie in windows of one width: about the two peaks, and where fewest lie between them.

    `apart`: distance of the modes as a share; `share`: of the samples, in the smaller mode; `switches`: how often
    neighbours in time lie in different modes.
    """

    lower: int
    upper: int
    between: int
    apart: float
    share: float
    switches: int


@dataclass(frozen=True)
class Modes:
    """`significance` in standard errors of the counts."""

    apart: float
    share: float
    switches: int
    significance: float


def find_modes(launches: Sequence[Floats]) -> Modes | None:
    """The modes within launches, by the launch that shows them best; None where none are seen.

    If the density had one peak, no window between two others could hold fewer samples than the emptier of these.
    Counts are compared launch by launch and summed over the launches, never over pooled samples: launches that
    differ are no modes within them.
    """
    valleys = [valley for launch in launches if (valley := find_valley(launch)) is not None]
    if not valleys:
        return None
    best = max(valleys, key=_significance)
    total = Valley(
        lower=sum(valley.lower for valley in valleys),
        upper=sum(valley.upper for valley in valleys),
        between=sum(valley.between for valley in valleys),
        apart=best.apart,
        share=best.share,
        switches=best.switches,
    )
    significance = max(_significance(best), _significance(total))
    if significance < MIN_SIGNIFICANCE:
        return None
    return Modes(best.apart, best.share, best.switches, significance)


def find_valley(launch: Floats) -> Valley | None:
    """Split the launch where the halves differ most (Otsu, 1979), look for the emptiest place between their medians.

    None where the halves are less than 3 % apart, or the clock is too coarse to show an empty place.
    """
    import numpy as np

    if launch.size < MIN_SAMPLES or launch.min() <= 0:
        return None
    ordered = np.log(np.sort(launch))
    count = ordered.size
    lower_size = np.arange(math.ceil(MIN_SHARE * count), count - math.ceil(MIN_SHARE * count) + 1)
    sums = np.cumsum(ordered)
    lower_mean = sums[lower_size - 1] / lower_size
    upper_mean = (sums[-1] - sums[lower_size - 1]) / (count - lower_size)
    split = int(lower_size[np.argmax(lower_size * (count - lower_size) * (upper_mean - lower_mean) ** 2)])
    low, high = float(np.median(ordered[:split])), float(np.median(ordered[split:]))
    width = (high - low) / 3
    if high - low < math.log1p(MIN_APART) or width < MIN_CLOCK_STEPS * _clock_step(ordered):
        return None
    places = np.concatenate(([low, high], np.linspace(low + width, high - width, WINDOWS)))
    inside = np.searchsorted(ordered, places + width / 2, "right") - np.searchsorted(
        ordered, places - width / 2, "left"
    )
    in_upper = np.log(launch) >= ordered[split]
    return Valley(
        lower=int(inside[0]),
        upper=int(inside[1]),
        between=int(inside[2:].min()),
        apart=math.expm1(high - low),
        share=min(split, count - split) / count,
        switches=int(np.count_nonzero(in_upper[1:] != in_upper[:-1])),
    )


def _significance(valley: Valley) -> float:
    peak = min(valley.lower, valley.upper)
    return (peak - valley.between) / math.sqrt(peak + valley.between) if peak > valley.between else 0.0


def _clock_step(ordered: Floats) -> float:
    """The smallest difference that was seen, in logarithms at the median."""
    import numpy as np

    values = np.unique(ordered)
    return float(np.median(np.diff(values))) if 1 < values.size < ordered.size / 2 else 0.0
