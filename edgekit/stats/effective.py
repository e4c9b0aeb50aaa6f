"""How many independent samples a launch is worth. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.stats.levels import CLIP_SD, NORMAL_MAD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_SAMPLES = 10
MAX_LAG_SHARE = 0.25


def effective_count(launch: Floats) -> float | None:
    """n / (1 + 2 * sum of autocorrelations), at most n; None with fewer than 10 samples.

    The sum ends before the first pair of neighbouring lags that is not positive (Geyer, "Practical Markov Chain Monte
    Carlo", Statistical Science 7, 1992, initial positive sequence). Outliers are pulled in to 3 standard deviations, as one
    of them would hide the autocorrelation of all others.
    """
    import numpy as np

    count = launch.size
    if count < MIN_SAMPLES:
        return None
    centred = launch - np.median(launch)
    reach = CLIP_SD * NORMAL_MAD * float(np.median(np.abs(centred)))
    if reach > 0:
        centred = np.clip(centred, -reach, reach)
    centred = centred - centred.mean()
    total = float(centred @ centred)
    if total <= 0:
        return float(count)
    time = 1.0
    for lag in range(1, int(count * MAX_LAG_SHARE), 2):
        pair = float(centred[:-lag] @ centred[lag:]) + float(centred[: -lag - 1] @ centred[lag + 1 :])
        if pair <= 0:
            break
        time += 2 * pair / total
    return count / time
