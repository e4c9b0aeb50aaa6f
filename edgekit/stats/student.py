"""Quantiles of Student's t for whole degrees of freedom, so that SciPy need not be installed."""

from __future__ import annotations

import math
from functools import cache


def t_central_probability(t: float, df: int) -> float:
    """P(-t < T < t) for T with `df` degrees of freedom (a whole number >= 1).

    The finite series of Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 (odd df) and
    26.7.4 (even df).
    """
    theta = math.atan2(t, math.sqrt(df))
    sine, cosine = math.sin(theta), math.cos(theta)
    if df == 1:
        return 2 * theta / math.pi
    first = 1.0 if df % 2 == 0 else cosine
    total = term = first
    for k in range(2 if df % 2 == 0 else 3, df - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    if df % 2 == 0:
        return sine * total
    return 2 / math.pi * (theta + sine * total)


@cache
def t_quantile(confidence: float, df: int) -> float:
    """The t for which P(-t < T < t) is `confidence` (0 < confidence < 1), to about 12 digits."""
    if df < 1 or not 0 < confidence < 1:
        raise ValueError(f"no t quantile for confidence {confidence} and {df} degrees of freedom")
    low, high = 0.0, 1.0
    while t_central_probability(high, df) < confidence:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if t_central_probability(middle, df) < confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2
