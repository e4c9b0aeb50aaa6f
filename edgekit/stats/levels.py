"""A launch as a row of levels: the logarithms of its latencies, by blocks. Pure; loads NumPy when called.

Everything that asks whether a launch kept its pace looks at blocks, not at iterations: the mean of a block of
neighbours has little of their autocorrelation left (batch means: Conway, "Some Tactical Problems in Digital
Simulation", Management Science 10, 1963), and their median none of a lone outlier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BLOCKS = 10
MIN_IN_BLOCK = 2
NORMAL_MAD = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""
CLIP_SD = 3.0
MEDIAN_EFFICIENCY = math.sqrt(math.pi / 2)
"""Standard error of a median over that of a mean, of normal values."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Blocks of one launch, in order: natural logarithms of microseconds.

    `medians`: of each block. `means`: of each block after samples further than 3 standard deviations from its
    median were pulled in to there, so that they say nearly as much as plain means and outliers do not rule them.
    `error`: standard deviation of a block's median, from the scatter of samples inside blocks and their
    autocorrelation there; 0 where a coarse clock shows none.
    `at_s`: the middle of each block, seconds since the launch's first sample. `seconds`: its whole length.
    `skipped`: samples before the first block (fewer than there are blocks).
    """

    medians: Floats
    means: Floats
    error: float
    at_s: Floats
    seconds: float
    skipped: int
    block_size: int


def levels_of(launch: Floats) -> Levels | None:
    """None where the launch is too short (fewer than 20 samples) or a latency is 0 (below the clock's step)."""
    import numpy as np

    size = launch.size // BLOCKS
    if size < MIN_IN_BLOCK or launch.min() <= 0:
        return None
    skipped = launch.size - size * BLOCKS
    table = np.log(launch[skipped:]).reshape(BLOCKS, size)
    medians = np.median(table, axis=1)
    apart = table - medians[:, None]
    deviation = NORMAL_MAD * float(np.median(np.abs(apart)))
    inside = np.clip(apart, -CLIP_SD * deviation, CLIP_SD * deviation)
    ends = np.cumsum(launch)[skipped + size - 1 :: size] / 1e6
    starts = np.concatenate(([launch[:skipped].sum() / 1e6], ends[:-1]))
    return Levels(
        medians=medians,
        means=medians + inside.mean(axis=1),
        error=MEDIAN_EFFICIENCY * deviation * math.sqrt(_correlation(inside) / size),
        at_s=(starts + ends) / 2,
        seconds=float(ends[-1]),
        skipped=skipped,
        block_size=size,
    )


def _correlation(inside: Floats) -> float:
    """(1 + r) / (1 - r) of the lag 1 autocorrelation r inside blocks: by how much it enlarges a mean's variance."""
    import numpy as np

    total = float(np.sum(inside**2))
    r = float(np.sum(inside[:, :-1] * inside[:, 1:])) / total if total > 0 else 0.0
    r = min(0.99, max(0.0, r))
    return (1 + r) / (1 - r)
