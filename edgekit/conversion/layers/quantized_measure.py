"""What quantization did to one tensor: error, range, saturation, histograms. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.conversion.layers.quantized_report import Histogram, TensorRange

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BINS = 24
LEAST_COUNT = 8
"""Fewer values say nothing about a mean."""


@dataclass(frozen=True)
class Grid:
    """The values that a tensor can hold: (stored - zero_point) * scale, for every stored integer of the dtype."""

    dtype: str
    scale: float
    zero_point: int

    @property
    def low(self) -> float:
        return (_limits(self.dtype)[0] - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        return (_limits(self.dtype)[1] - self.zero_point) * self.scale

    def rounded(self, values: Array) -> Array:
        """The nearest values that it can hold, as float32; NaN becomes 0."""
        import numpy as np

        low, high = _limits(self.dtype)
        stored = np.rint(np.nan_to_num(values.astype(np.float64)) / self.scale) + self.zero_point
        held: Array = ((np.clip(stored, low, high) - self.zero_point) * self.scale).astype(np.float32)
        return held


def _limits(dtype: str) -> tuple[int, int]:
    unsigned = dtype.startswith("u")
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    return (0, (1 << bits) - 1) if unsigned else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def error_share(before: Sequence[Array], after: Sequence[Array]) -> float | None:
    """Rms of the difference over the rms of `before`, over all pairs of arrays, in float64.

    None where that cannot be told: shapes differ, nothing is finite, `before` is zero everywhere, or a value that was finite
    no longer is.
    """
    import numpy as np

    apart = norm = 0.0
    for a, b in zip(before, after, strict=True):
        if a.shape != b.shape:
            return None
        finite = np.isfinite(a)
        x, y = a[finite].astype(np.float64), b[finite].astype(np.float64)
        if not np.isfinite(y).all():
            return None
        apart += float(((y - x) ** 2).sum())
        norm += float((x**2).sum())
    return math.sqrt(apart / norm) if norm else (0.0 if before and apart == 0 else None)


def channel_error(before: Sequence[Array], after: Sequence[Array]) -> float | None:
    """The same for each channel (the last axis), and the root of the mean of their squares: a channel that is lost beside a far
    larger one hardly shows in the rms of the whole tensor. Channels that are zero everywhere are left out.

    None where that cannot be told, and for tensors with less than two axes.
    """
    import numpy as np

    apart: Array | float = 0.0
    norm: Array | float = 0.0
    for a, b in zip(before, after, strict=True):
        if a.shape != b.shape or a.ndim < 2 or not np.isfinite(a).all() or not np.isfinite(b).all():
            return None
        x, y = (one.astype(np.float64).reshape(-1, one.shape[-1]) for one in (a, b))
        apart = apart + ((y - x) ** 2).sum(axis=0)
        norm = norm + (x**2).sum(axis=0)
    alive = np.asarray(norm) > 0
    return (
        float(np.sqrt(np.mean(np.asarray(apart)[alive] / np.asarray(norm)[alive]))) if alive.any() else None
    )


def channel_shift(before: Sequence[Array], after: Sequence[Array]) -> Array | None:
    """The mean by which each channel (the last axis) is higher after than before; 0 where that is within what chance gives.

    Where nothing is below zero, as behind a ReLU, only places count that are above zero in both: the others hide what was
    there. None where shapes differ or a value is not finite.
    """
    import numpy as np

    if any(a.shape != b.shape or not a.ndim for a, b in zip(before, after, strict=True)) or not before:
        return None
    x, y = (
        np.concatenate([one.reshape(-1, one.shape[-1]) for one in part]).astype(np.float64)
        for part in (before, after)
    )
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        return None
    counted = (x > 0) & (y > 0) if (x >= 0).all() else np.ones(x.shape, bool)
    count = counted.sum(axis=0)
    apart = np.where(counted, y - x, 0.0)
    mean = apart.sum(axis=0) / np.maximum(count, 1)
    spread = np.where(counted, (y - x - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1)
    sure = (count >= LEAST_COUNT) & (np.abs(mean) > 2 * np.sqrt(spread / np.maximum(count, 1)))
    return np.where(sure, mean, 0.0)


def tensor_range(before: Sequence[Array], after: Sequence[Array], grid: Grid | None) -> TensorRange | None:
    """Ranges and histograms of one tensor before and after; None where it has no finite values.

    Saturated is what lies outside of the grid by more than half a step: rounding does not reach it.
    """
    import numpy as np

    x, y = _finite(before), _finite(after)
    if not x.size or not y.size:
        return None
    low, high = float(x.min()), float(x.max())
    saturated = used = None
    if grid is not None:
        room = 0.5 * grid.scale
        outside = int(np.count_nonzero((x < grid.low - room) | (x > grid.high + room)))
        saturated = outside / x.size
        span = grid.high - grid.low
        used = max(0.0, min(high, grid.high) - max(low, grid.low)) / span if span else None
    return TensorRange(
        low=low,
        high=high,
        held_low=None if grid is None else grid.low,
        held_high=None if grid is None else grid.high,
        step=None if grid is None else grid.scale,
        saturated=saturated,
        used=used,
        histogram=_histogram(x, y),
    )


def _finite(values: Sequence[Array]) -> Array:
    import numpy as np

    flat = np.concatenate([value.reshape(-1) for value in values]) if values else np.zeros(0)
    kept: Array = flat[np.isfinite(flat)].astype(np.float64)
    return kept


def _histogram(x: Array, y: Array) -> Histogram:
    """Both over one range, so that they can be laid upon each other."""
    import numpy as np

    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    if low == high:
        low, high = low - 0.5, high + 0.5
    # Edges of our own: a range that is tiny beside its position has no even bins in float64.
    edges = np.linspace(low, high, BINS + 1)
    if (np.diff(edges) <= 0).any():
        return Histogram(low=low, high=high, before=(int(x.size),), after=(int(y.size),))
    counts = [tuple(int(count) for count in np.histogram(values, edges)[0]) for values in (x, y)]
    return Histogram(low=low, high=high, before=counts[0], after=counts[1])
