"""Did latency keep still? Drift, steps, modes and disagreeing launches, in one account. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.stats.agreement import agreement
from edgekit.stats.drift import run_drift
from edgekit.stats.effective import effective_count
from edgekit.stats.levels import Levels, levels_of
from edgekit.stats.modes import find_modes
from edgekit.stats.steps import Step, best_step, block_noise, is_real, steady_from
from edgekit.stats.types import Stability

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def stability_of(launches: Sequence[Floats], starts_us: Sequence[float | None] = ()) -> Stability:
    """`launches`: those that gave samples, microseconds, in order. `starts_us`: when each began to be timed, on the
    device's clock; where one is unknown, each is taken to begin when the one before ended."""
    import numpy as np

    rows = [levels_of(launch) for launch in launches]
    starts_s = _starts_s(launches, starts_us)
    known = [(row, start) for row, start in zip(rows, starts_s, strict=True) if row is not None]
    levels = [row for row, _ in known]
    drift = run_drift(levels, [start for _, start in known])
    noise = block_noise(levels)
    step, step_launch, step_block = _largest_step(rows, noise)
    steady = [None if row is None else steady_from(row.medians, noise) for row in rows]
    modes = find_modes(launches)
    agreed = agreement([float(np.median(launch)) for launch in launches])
    counts = [effective_count(launch) for launch in launches]
    moved = step is not None and is_real(step)
    return Stability(
        effective_count=None if None in counts else math.fsum(count or 0.0 for count in counts),
        run_drift=drift.value if drift else None,
        run_drift_low=drift.low if drift else None,
        run_drift_high=drift.high if drift else None,
        run_drift_certain=drift.certain if drift else None,
        step=step.effect if step is not None and moved else None,
        step_launch=step_launch if moved else None,
        step_iteration=step_block if moved else None,
        modes_apart=modes.apart if modes else None,
        modes_share=modes.share if modes else None,
        modes_switches=modes.switches if modes else None,
        launch_spread=agreed.spread if agreed else None,
        launch_gap=agreed.gap if agreed else None,
        launches_fast=agreed.fast if agreed else None,
        launches_slow=agreed.slow if agreed else None,
        launches_disagree=agreed.disagree if agreed else None,
        judged_launches=len(levels),
        never_steady=sum(row is not None and start is None for row, start in zip(rows, steady, strict=True)),
    )


def _starts_s(launches: Sequence[Floats], starts_us: Sequence[float | None]) -> list[float]:
    told = [start / 1e6 for start in starts_us if start is not None]
    if len(told) == len(launches):
        return told
    ends = [0.0]
    for launch in launches:
        ends.append(ends[-1] + float(launch.sum()) / 1e6)
    return ends[:-1]


def _largest_step(rows: Sequence[Levels | None], noise: float) -> tuple[Step | None, int | None, int | None]:
    """The most significant real step of any launch, with the launch and the iteration where it comes."""
    found: tuple[Step | None, int | None, int | None] = (None, None, None)
    for index, row in enumerate(rows):
        step = best_step(row.medians, noise) if row is not None else None
        if row is None or step is None or not is_real(step):
            continue
        if found[0] is None or step.significance > found[0].significance:
            found = (step, index, row.skipped + step.block * row.block_size)
    return found
