"""Making, padding, repeating, sorting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import MAX_ELEMENTS, check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


@operator("fill")
def _fill(a: Args) -> Array:
    return np.full(check_size(a.integers("shape")), a.number("value", 0.0))


@operator("fill_like")
def _fill_like(a: Args) -> Array:
    return np.full(a.tensor("ref_tensor").shape, a.number("value", 0.0))


@operator("range_1d")
def _range_1d(a: Args) -> Array:
    start, end, step = (a.tensor(name).reshape(-1)[0] for name in ("start", "end", "step"))
    number = max(0, math.ceil((end - start) / step))
    check_size((number,))
    return np.asarray(start + np.arange(number) * step)


@operator("tile")
def _tile(a: Args) -> Array:
    x, times = a.tensor("x"), a.integers("reps")
    check_size(tuple(d * t for d, t in zip(x.shape, times, strict=True)))
    return np.tile(x, times)


@operator("pad")
def _pad(a: Args) -> Array:
    """The last len(pad) / 2 axes: elements before and after."""
    x, pad, mode = a.tensor("x"), a.integers("pad"), a.text("mode", "constant")
    if mode not in _PAD_MODES:
        raise unsupported("pad", f"mode {mode}")
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[0::2], pad[1::2], strict=True))
    check_size(tuple(d + b + e for d, (b, e) in zip(x.shape, widths, strict=True)))
    if mode == "constant":
        return np.pad(x, widths, constant_values=a.number("constant_val", 0.0))
    if mode == "reflect":
        return np.pad(x, widths, "reflect")
    return np.pad(x, widths, "edge")


@operator("band_part")
def _band_part(a: Args) -> Array:
    """Of each matrix the diagonals from `lower` below to `upper` above; negative: all of that side."""
    x, lower, upper = a.tensor("x"), a.integer("lower", -1), a.integer("upper", -1)
    row, column = np.indices(x.shape[-2:])
    inside = ((lower < 0) | (row - column <= lower)) & ((upper < 0) | (column - row <= upper))
    return np.where(inside, x, 0)


@operator("cumsum")
def _cumsum(a: Args) -> Array:
    x = a.tensor("x")
    axis = a.axis("axis", x.ndim, 0)
    if a.flag("reverse"):
        x = np.flip(x, axis)
    total = np.cumsum(x, axis)
    if a.flag("exclusive"):
        total = total - x
    return np.flip(total, axis) if a.flag("reverse") else total


@operator("non_zero")
def _non_zero(a: Args) -> Array:
    return np.argwhere(a.tensor("x"))


def _order(x: Array, axis: int, ascending: bool) -> Array:
    """Of several that are equal, the first comes first."""
    return np.argsort(x if ascending else -x.astype(np.float64), axis=axis, kind="stable")


@operator("argsort")
def _argsort(a: Args) -> Array:
    x = a.tensor("x")
    return _order(x, a.axis("axis", x.ndim, -1), a.flag("ascending"))


@operator("topk")
def _topk(a: Args) -> Array | tuple[Array, ...]:
    x = a.tensor("x")
    axis, k = a.axis("axis", x.ndim, -1), a.integer("k", 1)
    k = x.shape[axis] if k == -1 else k
    if not 0 <= k <= min(x.shape[axis], MAX_ELEMENTS):
        raise ValueError(f"the top {k} of {x.shape[axis]}")
    places = np.take(_order(x, axis, a.flag("ascending")), np.arange(k), axis=axis)
    values = np.take_along_axis(x, places, axis)
    return (values, places) if a.flag("return_indices", True) else values
