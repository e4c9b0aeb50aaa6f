"""Drawing many samples with few points, without hiding any: every column keeps its lowest and highest."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Envelope:
    """Columns of a long row: the middle index of each, and its lowest, median and highest value."""

    position: Floats
    low: Floats
    median: Floats
    high: Floats
    per_column: int
    """The most samples that one column stands for; 1 where every sample is drawn."""


def envelope(values: Floats, columns: int) -> Envelope:
    """At most `columns` columns of (nearly) equal numbers of samples. NaN are left out; a column of nothing
    but NaN is NaN."""
    edges = np.linspace(0, values.size, min(columns, values.size) + 1).astype(int)
    table = _of_columns(values, edges) if np.isfinite(values).all() else _of_columns_with_gaps(values, edges)
    return Envelope(
        position=(edges[:-1] + edges[1:] - 1) / 2,
        low=table[:, 0],
        median=table[:, 1],
        high=table[:, 2],
        per_column=int(np.diff(edges).max()) if values.size else 0,
    )


def _of_columns(values: Floats, edges: NDArray[np.int_]) -> Floats:
    """Lowest, median and highest of every column; columns of one size are worked out together."""
    sizes = np.diff(edges)
    table = np.empty((sizes.size, 3))
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        block = values[edges[rows][:, None] + np.arange(size)]
        table[rows] = np.column_stack([block.min(axis=1), np.median(block, axis=1), block.max(axis=1)])
    return table


def _of_columns_with_gaps(values: Floats, edges: NDArray[np.int_]) -> Floats:
    chunks = [values[a:b][np.isfinite(values[a:b])] for a, b in pairwise(edges.tolist())]
    rows = [(c.min(), np.median(c), c.max()) if c.size else (np.nan,) * 3 for c in chunks]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def zigzag(position: Floats, found: Envelope) -> tuple[Floats, Floats]:
    """One line through the lowest and highest value of every column: what a line through all would cover."""
    if found.per_column <= 1:
        return position, found.median
    return np.repeat(position, 2), np.column_stack([found.low, found.high]).ravel()


def occupied(values: Floats, low: float, high: float, columns: int, log: bool) -> Floats:
    """The columns of an axis from `low` to `high` in which at least one value lies, as values. With columns
    as fine as pixels, a mark at each is what a mark for every value would look like."""
    if not high > low:
        return np.unique(values)[:1]
    scale = np.log if log else np.asarray
    begin, end = float(scale(low)), float(scale(high))
    cell = np.unique(np.round((scale(values) - begin) / (end - begin) * columns))
    found = begin + cell * (end - begin) / columns
    return np.exp(found) if log else found


def ecdf(values: Floats, points: int = 160) -> tuple[Floats, Floats]:
    """Values and the share of samples at or below each: evenly spaced shares, and more of them in the tail;
    the smallest and the largest value are always there."""
    ordered = np.sort(values)
    shares = np.concatenate([np.linspace(0, 1, points), 1 - np.geomspace(1e-4, 0.02, points // 4)])
    index = np.unique(np.round(shares * (ordered.size - 1)).astype(int))
    return ordered[index], (index + 1) / ordered.size
