"""Parts of a tensor, and tensors put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


def _spans(a: Args, x: Array) -> tuple[slice | int, ...]:
    """begin:end:stride of each axis, as numpy reads it; a mask stands for an end left open."""
    begin, end = a.integers("begin"), a.integers("end")
    stride = a.integers("stride", (1,) * x.ndim)
    open_begin, open_end, single = (
        a.flags(name, x.ndim) for name in ("begin_mask", "end_mask", "squeeze_mask")
    )
    if not len(begin) == len(end) == len(stride) == x.ndim:
        raise ValueError(f"begin {begin}, end {end} and stride {stride} for {x.ndim} axes")
    return tuple(
        int(0 if open_begin[i] else begin[i])
        if single[i]
        else slice(None if open_begin[i] else begin[i], None if open_end[i] else end[i], stride[i])
        for i in range(x.ndim)
    )


@operator("slice_by_index")
def _slice_by_index(a: Args) -> Array:
    x = a.tensor("x")
    return np.asarray(x[_spans(a, x)])


@operator("slice_update")
def _slice_update(a: Args) -> Array:
    x = a.tensor("x").copy()
    x[_spans(a, x)] = a.tensor("update")
    return x


@operator("slice_by_size")
def _slice_by_size(a: Args) -> Array:
    """A size of -1: all that is left."""
    x = a.tensor("x")
    begin = [b + d if b < 0 else b for b, d in zip(a.integers("begin"), x.shape, strict=True)]
    size = a.integers("size")
    return x[tuple(slice(b, None if s == -1 else b + s) for b, s in zip(begin, size, strict=True))]


@operator("concat")
def _concat(a: Args) -> Array:
    values = a.many("values")
    axis = a.axis("axis", values[0].ndim)
    check_size(
        tuple(sum(v.shape[i] for v in values) if i == axis else d for i, d in enumerate(values[0].shape))
    )
    if not a.flag("interleave"):
        return np.concatenate(values, axis)
    stacked = np.stack(values, axis + 1)
    shape = list(values[0].shape)
    shape[axis] *= len(values)
    return stacked.reshape(shape)


@operator("split")
def _split(a: Args) -> tuple[Array, ...]:
    x = a.tensor("x")
    axis = a.axis("axis", x.ndim)
    if "split_sizes" in a:
        sizes = a.integers("split_sizes")
    else:
        number = a.integer("num_splits")
        if number < 1 or x.shape[axis] % number:
            raise ValueError(f"{x.shape[axis]} elements in {number} parts")
        sizes = (x.shape[axis] // number,) * number
    if sum(sizes) != x.shape[axis] or min(sizes) < 0:
        raise ValueError(f"{x.shape[axis]} elements in parts of {list(sizes)}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


@operator("stack")
def _stack(a: Args) -> Array:
    values = a.many("values")
    return np.stack(values, a.axis("axis", values[0].ndim + 1))


@operator("sliding_windows")
def _sliding_windows(a: Args) -> Array:
    """The axis becomes two: which window, and the place in it."""
    x, size, stride = a.tensor("x"), a.integer("size"), a.integer("stride", 1)
    axis = a.axis("axis", x.ndim)
    if size < 1 or stride < 1:
        raise ValueError(f"windows of {size}, {stride} apart")
    starts = np.arange(0, x.shape[axis] - size + 1, stride)
    check_size((*x.shape[:axis], len(starts), size, *x.shape[axis + 1 :]))
    return np.take(x, starts[:, None] + np.arange(size), axis=axis)


@operator("crop")
def _crop(a: Args) -> Array:
    """Off the last two axes."""
    x = a.tensor("x")
    (top, bottom), (left, right) = a.integers("crop_height"), a.integers("crop_width")
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
