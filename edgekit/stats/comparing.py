"""Two things measured against each other: paired log ratios, and groups of launches (Welch). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from edgekit.stats.student import t_central_probability, t_quantile

CONFIDENCE = 0.95
POWER = 0.90
CAREFUL = 0.80
"""Confidence that a standard deviation from a pilot is not larger than what is planned with."""
MAX_DF = 1000


@dataclass(frozen=True)
class PairedRatio:
    """b over a. `smallest_effect`: the share by which b would have had to differ for this many pairs with this scatter
    to find it in 9 of 10 runs, however values were rounded. The last four are None with fewer than two pairs."""

    ratio: float
    ci95_low: float | None
    ci95_high: float | None
    p_value: float | None
    smallest_effect: float | None
    pairs: int


@dataclass(frozen=True)
class UnpairedRatio:
    """b over a. All but `ratio` are None with fewer than two values on a side."""

    ratio: float
    ci95_low: float | None
    ci95_high: float | None
    p_value: float | None


def paired_ratio(a_us: Sequence[float], b_us: Sequence[float], step_us: float = 0.0) -> PairedRatio:
    """`a_us[i]` and `b_us[i]` are the medians of the launches of pair i, above 0. Student's t on the logarithms of
    their ratios: what slows both launches of a pair down cancels out.

    `step_us`: values are rounded to multiples of it. Rounding is the same in every pair, so it is no scatter that more
    pairs average away: the interval is as much wider as both values may be off, and only what is beyond that counts.
    Raises ValueError for lists of different length, none at all, or a median of 0.
    """
    logs = [math.log(b / a) for a, b in zip(a_us, b_us, strict=True)]
    count = len(logs)
    if not count:
        raise ValueError("no pairs")
    mean = math.fsum(logs) / count
    if count < 2:
        return PairedRatio(math.exp(mean), None, None, None, None, count)
    deviation = _deviation(logs)
    error = deviation / math.sqrt(count)
    rounding = sum(-math.log1p(-min(0.5, step_us / 2 / min(side))) for side in (a_us, b_us))
    half = t_quantile(CONFIDENCE, count - 1) * error + rounding
    beyond = max(0.0, abs(mean) - rounding)
    t = beyond / error if error > 0 else math.inf if beyond else 0.0
    return PairedRatio(
        ratio=math.exp(mean),
        ci95_low=math.exp(mean - half),
        ci95_high=math.exp(mean + half),
        p_value=max(0.0, 1 - t_central_probability(t, count - 1)),
        smallest_effect=math.expm1(_reach(count) * error + 2 * rounding),
        pairs=count,
    )


def pairs_needed(pilot_a_us: Sequence[float], pilot_b_us: Sequence[float], effect: float) -> int:
    """Pairs that find a slowdown by `effect` (0.02 is 2 %) in 9 of 10 runs.

    The pilot's standard deviation is a guess from few pairs; its upper 80 % confidence limit is planned with
    (chi-square by Wilson and Hilferty, PNAS 17, 1931). Raises ValueError for fewer than 3 pairs or an effect not above 0.
    """
    logs = [math.log(b / a) for a, b in zip(pilot_a_us, pilot_b_us, strict=True)]
    if len(logs) < 3 or effect <= 0:
        raise ValueError("a plan needs a pilot of 3 pairs and an effect above 0")
    df = len(logs) - 1
    low = df * (1 - 2 / (9 * df) + NormalDist().inv_cdf(1 - CAREFUL) * math.sqrt(2 / (9 * df))) ** 3
    deviation = _deviation(logs) * math.sqrt(df / low)
    wanted = math.log1p(effect)
    pairs = 3
    while _reach(pairs) * deviation / math.sqrt(pairs) > wanted:
        pairs = pairs + 1 if pairs < 200 else pairs * 2
    return pairs


def welch_p_slower(old_us: Sequence[float], new_us: Sequence[float]) -> float | None:
    """One-sided p-value of "new is not slower than old", from the launches' medians: Welch's t on their logarithms,
    Welch's degrees of freedom rounded down. None with fewer than two launches on a side or a median of 0."""
    if min(len(old_us), len(new_us)) < 2 or min(*old_us, *new_us) <= 0:
        return None
    old, new = [math.log(v) for v in old_us], [math.log(v) for v in new_us]
    difference = math.fsum(new) / len(new) - math.fsum(old) / len(old)
    parts = [_deviation(side) ** 2 / len(side) for side in (old, new)]
    total = sum(parts)
    if total <= 0:
        return 0.0 if difference > 0 else 1.0
    df = total**2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (old, new), strict=True))
    central = t_central_probability(abs(difference) / math.sqrt(total), min(MAX_DF, max(1, int(df))))
    return (1 - central) / 2 if difference > 0 else (1 + central) / 2


def welch_ratio(a_us: Sequence[float], b_us: Sequence[float], step_us: float = 0.0) -> UnpairedRatio | None:
    """b over a of two runs that were not interleaved: `a_us[i]`, `b_us[i]` are medians of launches, above 0. Welch's t on
    their logarithms, degrees of freedom rounded down, two-sided; rounding to multiples of `step_us` as in `paired_ratio`.

    What changed between the two runs (heat, other load) is in the ratio: it does not cancel out as it does in pairs. None
    without a launch on a side or with a value of 0.
    """
    if not a_us or not b_us or min(*a_us, *b_us) <= 0:
        return None
    sides = [[math.log(value) for value in side] for side in (a_us, b_us)]
    means = [math.fsum(side) / len(side) for side in sides]
    difference = means[1] - means[0]
    if min(map(len, sides)) < 2:
        return UnpairedRatio(math.exp(difference), None, None, None)
    parts = [_deviation(side) ** 2 / len(side) for side in sides]
    error = math.sqrt(sum(parts))
    rounding = sum(-math.log1p(-min(0.5, step_us / 2 / min(side))) for side in (a_us, b_us))
    beyond = max(0.0, abs(difference) - rounding)
    if error <= 0:
        low, high = math.exp(difference - rounding), math.exp(difference + rounding)
        return UnpairedRatio(math.exp(difference), low, high, 0.0 if beyond else 1.0)
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    df = min(MAX_DF, max(1, int(sum(parts) ** 2 / spread)))
    half = t_quantile(CONFIDENCE, df) * error + rounding
    return UnpairedRatio(
        ratio=math.exp(difference),
        ci95_low=math.exp(difference - half),
        ci95_high=math.exp(difference + half),
        p_value=max(0.0, 1 - t_central_probability(beyond / error, df)),
    )


def _reach(pairs: int) -> float:
    """Standard errors that an effect must have: t for significance and t for power, a sum that is a little more than
    what the noncentral t asks."""
    return t_quantile(CONFIDENCE, min(MAX_DF, pairs - 1)) + t_quantile(2 * POWER - 1, min(MAX_DF, pairs - 1))


def _deviation(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
