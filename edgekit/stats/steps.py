"""Whether a launch changed its level at some moment, and from when on it kept it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.stats.levels import NORMAL_MAD, Levels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_STEP = 0.03
"""Smaller changes of level are not told as steps."""
MIN_SIGNIFICANCE = 6.0
"""In standard errors. Nine places where a step may be, in every launch of a run, and a standard error that is
itself an estimate from few blocks: far out, for an error per run well below 1 in 1000."""
MIN_STEADY_SHARE = 0.3
"""A launch is steady if at least this share of it, up to its end, has one level."""


@dataclass(frozen=True)
class Step:
    """`effect`: level after over level before, minus 1. `block`: the first block after it."""

    effect: float
    block: int
    significance: float


def block_noise(launches: Sequence[Levels]) -> float:
    """Standard deviation of a block's median: the smaller of what the differences of neighbours show (one step hardly
    moves it, a launch that changes all the time does) and what the insides of blocks show."""
    import numpy as np

    if not launches:
        return 0.0
    differences = np.concatenate([np.diff(one.medians) for one in launches])
    by_neighbours = NORMAL_MAD * float(np.median(np.abs(differences))) / math.sqrt(2)
    by_insides = float(np.median([one.error for one in launches]))
    return min(by_neighbours, by_insides) if by_insides > 0 else by_neighbours


def best_step(medians: Floats, noise: float) -> Step | None:
    """The split of the blocks that sets two levels apart most clearly; None with fewer than 2 blocks."""
    import numpy as np

    count = medians.size
    if count < 2:
        return None
    before = np.arange(1, count)
    sums = np.cumsum(medians)
    effects = (sums[-1] - sums[:-1]) / (count - before) - sums[:-1] / before
    weight = np.sqrt(before * (count - before) / count)
    best = int(np.argmax(np.abs(effects) * weight))
    strength = float(abs(effects[best]) * weight[best])
    significance = strength / noise if noise > 0 else math.inf if strength > 0 else 0.0
    return Step(math.expm1(float(effects[best])), best + 1, significance)


def is_real(step: Step | None) -> bool:
    return step is not None and abs(step.effect) >= MIN_STEP and step.significance >= MIN_SIGNIFICANCE


def steady_from(medians: Floats, noise: float) -> int | None:
    """The first block from which on the launch has one level; None where it never comes to rest.

    A result, not a failure: at most 43.5 % of the benchmarks of Barrett et al. (OOPSLA 2017, arXiv:1602.00602)
    reached a steady state.
    """
    start = 0
    while True:
        step = best_step(medians[start:], noise)
        if step is None or not is_real(step):
            return start if medians.size - start >= MIN_STEADY_SHARE * medians.size else None
        start += step.block
