"""Pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.ops.windows import Windows, windows
from edgekit_ios.mil.registry import operator

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


def _windows(a: Args, x: Array) -> Windows:
    size = a.integers("kernel_sizes")
    if min(size) < 1:
        raise ValueError(f"kernel_sizes is {list(size)}")
    return windows(a, x.shape[2:], size, ceil_mode=a.flag("ceil_mode"))


def _summed(lie: Windows, padded: Array) -> Array:
    total = np.zeros((*padded.shape[:2], *lie.count))
    for _, under in lie.taps(padded):
        total += under
    return total


@operator("max_pool")
def _max_pool(a: Args) -> Array:
    """What is padded is never the largest."""
    x = a.tensor("x")
    lie = _windows(a, x)
    largest = np.full((*x.shape[:2], *lie.count), -np.inf)
    for _, under in lie.taps(lie.padded(x, -np.inf)):
        np.maximum(largest, under, out=largest)
    return largest


@operator("avg_pool")
def _avg_pool(a: Args) -> Array:
    """Padding counts as zeros, unless it is excluded; what lies behind it (ceil_mode) never counts."""
    x = a.tensor("x")
    lie = _windows(a, x)
    counted = np.ones((1, 1, *x.shape[2:]))
    if not a.flag("exclude_padding_from_average"):
        widths = [(0, 0), (0, 0), *zip(lie.before, lie.after, strict=True)]
        counted = np.pad(counted, widths, constant_values=1.0)
        inner = Windows(
            lie.size, lie.stride, lie.dilation, (0,) * len(lie.size), (0,) * len(lie.size), lie.count
        )
        numbers = _summed(inner, inner.padded(counted, 0))
    else:
        numbers = _summed(lie, lie.padded(counted, 0))
    averages: Array = _summed(lie, lie.padded(x, 0)) / numbers
    return averages


@operator("l2_pool")
def _l2_pool(a: Args) -> Array:
    x = a.tensor("x")
    lie = _windows(a, x)
    return np.sqrt(_summed(lie, lie.padded(np.square(x), 0)))
