"""The same elements in another shape or order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args, counted
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


@operator("shape")
def _shape(a: Args) -> Array:
    return np.array(a.tensor("x").shape, np.int64)


@operator("reshape")
def _reshape(a: Args) -> Array:
    """A 0 takes the dimension of x at the same place from the end, 1 where there is none; -1 what is left."""
    x, shape = a.tensor("x"), a.integers("shape")
    lead = x.ndim - len(shape)
    filled = [dim if dim != 0 else (x.shape[i + lead] if i + lead >= 0 else 1) for i, dim in enumerate(shape)]
    return x.reshape(filled)


@operator("reshape_like")
def _reshape_like(a: Args) -> Array:
    shape: list[int] = []
    parts = zip(a.many("ref_tensors"), a.many("begins"), a.many("ends"), a.many("end_masks"), strict=True)
    for reference, begin, end, to_end in parts:
        shape += reference.shape[int(begin) :] if bool(to_end) else reference.shape[int(begin) : int(end)]
    return a.tensor("x").reshape(shape)


@operator("expand_dims")
def _expand_dims(a: Args) -> Array:
    return np.expand_dims(a.tensor("x"), a.integers("axes"))


@operator("squeeze")
def _squeeze(a: Args) -> Array:
    """Axes that are not of size 1 are left."""
    x = a.tensor("x")
    axes = {counted(axis, x.ndim) for axis in a.integers("axes", range(x.ndim))}
    return x.reshape([dim for i, dim in enumerate(x.shape) if not (i in axes and dim == 1)])


@operator("flatten2d")
def _flatten2d(a: Args) -> Array:
    x = a.tensor("x")
    axis = a.integer("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("transpose")
def _transpose(a: Args) -> Array:
    return np.transpose(a.tensor("x"), a.integers("perm"))


@operator("reverse")
def _reverse(a: Args) -> Array:
    x = a.tensor("x")
    return np.flip(x, a.integers("axes", range(x.ndim)))


@operator("reverse_sequence")
def _reverse_sequence(a: Args) -> Array:
    """The first lengths[i] elements along seq_axis are reversed, for each i along batch_axis."""
    x = a.tensor("x")
    sequence, batch = a.axis("seq_axis", x.ndim, 0), a.axis("batch_axis", x.ndim, 0)
    made = np.moveaxis(x.copy(), (batch, sequence), (0, 1))
    for i, length in enumerate(a.integers("lengths")):
        if not 0 <= length <= x.shape[sequence]:
            raise ValueError(f"a length of {length}")
        made[i, :length] = made[i, :length][::-1].copy()
    return np.moveaxis(made, (0, 1), (batch, sequence))


@operator("depth_to_space")
def _depth_to_space(a: Args) -> Array:
    """Channel (i * block + j) * C' + c goes to the place (i, j) of a block of channel c."""
    x, block = a.tensor("x"), a.integer("block_size")
    n, channels, height, width = x.shape
    split = x.reshape(n, block, block, channels // block**2, height, width)
    return split.transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, height * block, width * block)


@operator("space_to_depth")
def _space_to_depth(a: Args) -> Array:
    x, block = a.tensor("x"), a.integer("block_size")
    n, channels, height, width = x.shape
    split = x.reshape(n, channels, height // block, block, width // block, block)
    return split.transpose(0, 3, 5, 1, 2, 4).reshape(n, -1, height // block, width // block)


@operator("pixel_shuffle")
def _pixel_shuffle(a: Args) -> Array:
    """Channel c * factor^2 + i * factor + j goes to the place (i, j) of a block of channel c."""
    x, factor = a.tensor("x"), a.integer("upscale_factor")
    n, channels, height, width = x.shape
    split = x.reshape(n, channels // factor**2, factor, factor, height, width)
    return split.transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, height * factor, width * factor)


@operator("pixel_unshuffle")
def _pixel_unshuffle(a: Args) -> Array:
    x, factor = a.tensor("x"), a.integer("downscale_factor")
    n, channels, height, width = x.shape
    split = x.reshape(n, channels, height // factor, factor, width // factor, factor)
    return split.transpose(0, 1, 3, 5, 2, 4).reshape(n, -1, height // factor, width // factor)


@operator("space_to_batch")
def _space_to_batch(a: Args) -> Array:
    """Batch (i * block[1] + j) * n + b has the elements (i, j) of the blocks of batch b, after padding."""
    x, (high, wide) = a.tensor("x"), a.integers("block_shape")
    top, bottom, left, right = a.integers("paddings")
    n, channels, height, width = x.shape
    check_size((n, channels, height + top + bottom, width + left + right))
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    _, _, height, width = padded.shape
    split = padded.reshape(n, channels, height // high, high, width // wide, wide)
    return split.transpose(3, 5, 0, 1, 2, 4).reshape(-1, channels, height // high, width // wide)


@operator("batch_to_space")
def _batch_to_space(a: Args) -> Array:
    x, (high, wide) = a.tensor("x"), a.integers("block_shape")
    top, bottom, left, right = a.integers("crops")
    n, channels, height, width = x.shape
    split = x.reshape(high, wide, n // (high * wide), channels, height, width)
    whole = split.transpose(2, 3, 4, 0, 5, 1).reshape(-1, channels, height * high, width * wide)
    return whole[:, :, top : height * high - bottom, left : width * wide - right]
