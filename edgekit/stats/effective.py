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
    lags = int(count * MAX_LAG_SHARE) // 2 * 2
    spectrum = np.fft.rfft(centred, 2 * count)  # padded: no lag wraps around
    correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, 2 * count)[1 : lags + 1] / total
    pairs = correlation.reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    positive = pairs[: ends[0]] if ends.size else pairs
    return count / (1 + 2 * float(positive.sum()))
