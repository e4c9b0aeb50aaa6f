"""Ranges of activations over any number of samples, in memory that does not grow with them. Pure numpy.

Each tensor has its true minimum and maximum, and where a method needs more a histogram of fixed size: BINS equal bins
from -reach to +reach, reach a power of two. A value past it doubles the bins' width (two bins become one), so that no
pass over the data is needed to know the reach beforehand. The same values in the same order give the same histogram.

Methods (`how` of `Gatherer`):
- min-max: the true range; clips nothing;
- percentile P: up to the value that P % of all values do not exceed, from the value that P % do not fall below;
- entropy (of more than 11 bits: like min-max): the magnitude T whose clipped histogram loses the least information (Kullback-Leibler divergence, in nats)
  when it is stored in as many levels as the integer type has; the search of Migacz, "8-bit inference with TensorRT",
  GTC 2017;
- mse: the range with the least expected squared error: clipped values by their distance, all others by step^2 / 12.

Every range holds zero, which integer kernels store exactly, and lies within the true one (zero apart).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError
from edgekit.models.manifest import Clipped, RangesFound

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BINS = 8192
MASK = 3e38
"""Larger magnitudes are masks (a large negative number where attention shall not look), not values."""
_CANDIDATES = 96
_FOLDED = 2048


@dataclass(frozen=True)
class Range:
    """What shall be stored of one tensor. `least`, `most`: what it really had."""

    low: float
    high: float
    least: float
    most: float


@dataclass
class Histogram:
    """Counts of a tensor's values. `zeros`: exact zeros, which no range loses; they are in no bin."""

    counts: Array | None = None
    reach: float = 0.0
    zeros: int = 0
    least: float = math.inf
    most: float = -math.inf
    samples: int = 0

    def see(self, values: Array) -> None:
        """Only the true range."""
        self.samples += 1
        if values.size:
            self.least = min(self.least, float(values.min()))
            self.most = max(self.most, float(values.max()))

    def add(self, values: Array) -> None:
        import numpy as np

        self.see(values)
        nonzero = values[values != 0]
        self.zeros += values.size - nonzero.size
        if not nonzero.size:
            return
        self._reach(float(np.abs(nonzero).max()))
        width = 2 * self.reach / BINS
        places = np.clip(
            np.floor(nonzero.astype(np.float64) / width).astype(np.int64) + BINS // 2, 0, BINS - 1
        )
        if self.counts is None:
            self.counts = np.zeros(BINS, dtype=np.int64)
        self.counts += np.bincount(places, minlength=BINS)

    def _reach(self, largest: float) -> None:
        import numpy as np

        if largest <= self.reach:
            return
        reach = max(2.0 ** math.ceil(math.log2(largest)), 1e-30)
        if self.counts is not None:
            while self.reach < reach:
                paired = self.counts.reshape(-1, 2).sum(axis=1)
                self.counts = np.zeros(BINS, dtype=np.int64)
                self.counts[BINS // 4 : 3 * BINS // 4] = paired
                self.reach *= 2
        self.reach = max(reach, self.reach)

    @property
    def edges(self) -> Array:
        import numpy as np

        return np.linspace(-self.reach, self.reach, BINS + 1)

    @property
    def total(self) -> int:
        return self.zeros + (int(self.counts.sum()) if self.counts is not None else 0)

    def below(self, at: float) -> float:
        """How many values are less than `at`, a bin's own counted by its share."""
        import numpy as np

        if self.counts is None or self.reach == 0:
            return float(self.zeros if at > 0 else 0)
        cumulated = np.concatenate([[0], np.cumsum(self.counts)])
        return float(np.interp(at, self.edges, cumulated)) + (self.zeros if at > 0 else 0)


@dataclass
class Gatherer:
    """Ranges of many tensors by name, sample by sample."""

    how: str = "min-max"
    percentile: float | None = None
    found: dict[str, Histogram] = field(default_factory=dict)

    def add(self, name: str, values: Array, sample: int) -> None:
        """`sample`: its index, for messages. Raises InputError E_DATA_VALUES where the tensor has NaN, or is infinite
        in every place."""
        import numpy as np

        if not values.size:
            return
        flat = values.reshape(-1)
        if not (np.abs(flat) < MASK).all():
            if np.isnan(flat).any():
                raise InputError(
                    f"calibration: tensor '{name}' is NaN on sample {sample}",
                    code="E_DATA_VALUES",
                    hint="look at that sample, or run the model on it",
                )
            flat = flat[np.abs(flat) < MASK]
            if not flat.size:
                return
        histogram = self.found.setdefault(name, Histogram())
        if self.how == "min-max":
            histogram.see(flat)
        else:
            histogram.add(flat)

    def ranges(self, stored: Mapping[str, tuple[int, bool]] | None = None) -> dict[str, Range]:
        """The range of every tensor. `stored`: bits and whether the range is the same on both sides of zero, by name;
        8 and not for all others."""
        known = stored or {}
        return {
            name: self._range(histogram, *known.get(name, (8, False)))
            for name, histogram in self.found.items()
        }

    def _range(self, histogram: Histogram, bits: int, symmetric: bool) -> Range:
        least, most = min(histogram.least, 0.0), max(histogram.most, 0.0)
        low, high = least, most
        if histogram.counts is not None:
            if self.how == "percentile":
                low, high = _percentile(histogram, self.percentile or 100.0)
            elif self.how == "entropy":
                low, high = _entropy(histogram, bits, symmetric)
            elif self.how == "mse":
                low, high = _least_error(histogram, bits, symmetric)
        low, high = min(max(low, least), 0.0), max(min(high, most), 0.0)
        if symmetric:
            low, high = -max(-low, high), max(-low, high)
        if low == high == 0.0 and most > least:
            low, high = least, most  # a range of nothing would lose everything
        return Range(low, high, histogram.least, histogram.most)

    def cost(self, stored: Mapping[str, tuple[float, float]]) -> tuple[Clipped, ...]:
        """What is lost of each tensor with the range that a file has for it, the worst first; those that lose nothing are
        not among them. A method that keeps no histogram clips nothing, as far as its own ranges go."""
        found = []
        for name, (low, high) in stored.items():
            histogram = self.found.get(name)
            if histogram is None or histogram.counts is None or high <= low:
                continue
            beyond = max(histogram.most - high, low - histogram.least)
            if beyond <= 0:
                continue
            total = histogram.total
            share = (histogram.below(low) + total - histogram.below(high)) / total
            found.append(
                Clipped(
                    tensor=name,
                    low=_figure(low),
                    high=_figure(high),
                    least=_figure(histogram.least),
                    most=_figure(histogram.most),
                    share=_figure(max(share, 1 / total)),
                    saturation=_figure(beyond / (high - low)),
                )
            )
        return tuple(sorted(found, key=lambda one: (-one.saturation, one.tensor)))


def _figure(value: float) -> float:
    """Six digits: what a report needs."""
    return float(f"{value:.6g}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def words(found: RangesFound) -> str:
    """One line for a manifest's notes; empty where nothing is clipped."""
    if not found.clipped:
        return ""
    worst, most = found.clipped[0], max(found.clipped, key=lambda one: one.share)
    return (
        f"calibration ({found.method}, {found.samples} samples) clips {len(found.clipped)} of {found.tensors} tensors:"
        f" up to {_percent(most.share)} of the values ({most.tensor[-60:]}), and values up to"
        f" {_percent(worst.saturation)} of the range beyond it ({worst.tensor[-60:]})"
    )


def _percentile(histogram: Histogram, percentile: float) -> tuple[float, float]:
    return _quantile(histogram, 1 - percentile / 100), _quantile(histogram, percentile / 100)


def _quantile(histogram: Histogram, share: float) -> float:
    """The value that this share of all values does not exceed, interpolated within its bin."""
    import numpy as np

    counts = histogram.counts
    if counts is None:
        return 0.0
    wanted = share * histogram.total
    negative = int(counts[: BINS // 2].sum())
    if negative < wanted <= negative + histogram.zeros:
        return 0.0
    if wanted > negative:
        wanted -= histogram.zeros
    cumulated = np.cumsum(counts)
    at = int(np.searchsorted(cumulated, wanted))
    if at >= BINS:
        return histogram.most
    before = float(cumulated[at - 1]) if at else 0.0
    inside = (wanted - before) / float(counts[at]) if counts[at] else 0.0
    width = 2 * histogram.reach / BINS
    return float(-histogram.reach + (at + inside) * width)


def _least_error(histogram: Histogram, bits: int, symmetric: bool) -> tuple[float, float]:
    """Both ends are tried at shares of the true range; sums over the histogram make each pair cost nothing."""
    import numpy as np

    counts = histogram.counts
    if counts is None:
        return histogram.least, histogram.most
    width = 2 * histogram.reach / BINS
    centres = histogram.edges[:-1] + width / 2
    sums = [np.concatenate([[0.0], np.cumsum(counts * centres**power)]) for power in range(3)]

    def moments(at: Array) -> list[Array]:
        places = np.clip((at + histogram.reach) / width, 0, BINS)
        return [np.interp(places, np.arange(BINS + 1), cumulated) for cumulated in sums]

    def beyond(low: Array, high: Array) -> tuple[Array, Array]:
        """Squared error of what is clipped to `low` and to `high`."""
        n, s1, s2 = moments(low)
        below = s2 - 2 * low * s1 + low**2 * n
        n, s1, s2 = (total[-1] - part for total, part in zip(sums, moments(high), strict=True))
        return below, s2 - 2 * high * s1 + high**2 * n

    shares = np.linspace(1.0, 1.0 / _CANDIDATES, _CANDIDATES)
    lows, highs = min(histogram.least, 0.0) * shares, max(histogram.most, 0.0) * shares
    steps, stored = 2**bits - 1, counts.sum()
    if symmetric:
        limits = np.maximum(-lows, highs)
        below, above = beyond(-limits, limits)
        best = int(np.argmin(below + above + (2 * limits / steps) ** 2 / 12 * stored))
        return -float(limits[best]), float(limits[best])
    below, above = beyond(lows, highs)
    noise = ((highs[None, :] - lows[:, None]) / steps) ** 2 / 12 * stored
    low, high = np.unravel_index(int(np.argmin(below[:, None] + above[None, :] + noise)), noise.shape)
    return float(lows[low]), float(highs[high])


def _entropy(histogram: Histogram, bits: int, symmetric: bool) -> tuple[float, float]:
    import numpy as np

    counts = histogram.counts
    one_sided = histogram.least >= 0 or histogram.most <= 0
    levels = 2**bits if one_sided and not symmetric else 2 ** (bits - 1)
    largest = max(-histogram.least, histogram.most)
    if counts is None or levels >= _FOLDED:
        return histogram.least, histogram.most
    folded = _fold(histogram, largest)
    candidates = np.unique(np.linspace(levels, _FOLDED, _CANDIDATES).astype(int))
    losses = [_loss(folded, int(size), levels) for size in candidates]
    # Of equal losses the widest range: nothing is won by clipping.
    best = len(losses) - 1 - int(np.argmin(losses[::-1]))
    limit = largest * float(candidates[best]) / _FOLDED
    return -limit, limit


def _fold(histogram: Histogram, largest: float) -> Array:
    """Counts of magnitudes in _FOLDED bins from 0 to the largest, each old bin shared out where it falls into two."""
    import numpy as np

    at = np.linspace(0.0, largest, _FOLDED + 1)
    assert histogram.counts is not None
    cumulated = np.concatenate([[0.0], np.cumsum(histogram.counts)])
    above = np.interp(at, histogram.edges, cumulated) - cumulated[BINS // 2]
    below = cumulated[BINS // 2] - np.interp(-at, histogram.edges, cumulated)
    folded: Array = np.diff(above + below)
    return folded


def _loss(folded: Array, size: int, levels: int) -> float:
    """Kullback-Leibler divergence between the first `size` bins, all beyond added to the last, and the same stored in
    `levels` levels, each level's count shared among its bins that have any."""
    import numpy as np

    kept = folded[:size]
    wanted = kept.copy()
    wanted[-1] += folded[size:].sum()
    level = np.arange(size) * levels // size
    filled = kept > 0
    total = np.bincount(level, weights=kept, minlength=levels)
    members = np.bincount(level, weights=filled, minlength=levels)
    stored = np.where(filled, total[level] / np.maximum(members[level], 1), 0.0)
    p, q = wanted / wanted.sum(), stored / max(stored.sum(), 1e-300)
    where = p > 0
    smallest = 1e-9
    return float(np.sum(p[where] * np.log(p[where] / np.maximum(q[where], smallest))))
