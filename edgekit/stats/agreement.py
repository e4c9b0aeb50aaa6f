"""Whether launches agree, and how many are needed to see that they do not. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_RANGE = 0.04
RANGE_LAUNCHES = 10
MAX_GAP = 0.025


@dataclass(frozen=True)
class Agreement:
    """`spread`: slowest launch's median over the fastest's, minus 1. `gap`: the largest jump between neighbours when
    they are sorted, as a share; it parts `fast` launches from `slow` ones."""

    spread: float
    gap: float
    fast: int
    slow: int

    @property
    def limit(self) -> float:
        """What `spread` may be: 4 % up to 10 launches. The range of a sample grows with its size, for normal values
        about like the root of the logarithm; so does the limit."""
        launches = self.fast + self.slow
        return MAX_RANGE * max(1.0, math.sqrt(math.log(launches) / math.log(RANGE_LAUNCHES)))

    @property
    def disagree(self) -> bool:
        return self.spread > self.limit or self.gap > MAX_GAP


def agreement(launch_medians_us: Sequence[float]) -> Agreement | None:
    """None with fewer than two launches, or where a median is 0."""
    if len(launch_medians_us) < 2 or min(launch_medians_us) <= 0:
        return None
    ordered = sorted(launch_medians_us)
    gaps = [after / before - 1 for before, after in pairwise(ordered)]
    widest = max(range(len(gaps)), key=gaps.__getitem__)
    return Agreement(
        spread=ordered[-1] / ordered[0] - 1,
        gap=gaps[widest],
        fast=widest + 1,
        slow=len(ordered) - widest - 1,
    )


def launches_to_see_modes(share: float = 0.5, miss: float = 0.005) -> int:
    """Launches after which all having fallen into one of two modes has at most the chance `miss`.

    `share`: of launches, in one of the modes. Five launches miss two equal modes in 6.25 % of runs (2 * 0.5**5);
    for 1 % it takes 8 (0.78 %). The default leaves room for all else that can go wrong where 99 % are to be seen: 9 (0.39 %). Raises ValueError where a share or a chance is not inside 0 to 1.
    """
    if not (0 < share < 1 and 0 < miss < 1):
        raise ValueError("share and miss must lie inside 0 to 1")
    launches = 2
    while share**launches + (1 - share) ** launches > miss:
        launches += 1
    return launches
