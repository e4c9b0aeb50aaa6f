"""Compressed weights, expanded from the definitions of the constexpr operators.

Nothing of coremltools takes part: what its compression wrote is expanded by other code than its own, so that a
mistake there shows in verification. Before iOS 18 indices and masks are bytes with packed bits and a `shape`; since
then they are tensors of less than a byte, unpacked where they are read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.args import Args
from edgekit_ios.mil.dtypes import BY_NAME, unpack
from edgekit_ios.mil.errors import unsupported
from edgekit_ios.mil.registry import operator
from edgekit_ios.mil.values import check_size

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


@operator("constexpr_affine_dequantize")
def _affine_dequantize(a: Args) -> Array:
    """scale * (quantized_data - zero_point), each a scalar or along `axis`."""
    data = a.tensor("quantized_data")
    axis = a.axis("axis", data.ndim)

    def along(value: Array) -> Array:
        return value if value.ndim == 0 else value.reshape([-1 if i == axis else 1 for i in range(data.ndim)])

    made: Array = along(a.tensor("scale")) * (data - along(a.tensor("zero_point")))
    return made


@operator("constexpr_cast")
def _cast(a: Args) -> Array:
    dtype = a.text("output_dtype")
    if dtype not in BY_NAME:
        raise unsupported("constexpr_cast", f"to {dtype}")
    return a.tensor("source_val").astype(BY_NAME[dtype].numpy)


@operator("constexpr_blockwise_shift_scale")
def _blockwise_shift_scale(a: Args) -> Array:
    """scale * (data - offset); each number of `scale` and `offset` holds for a block of elements."""
    data, scale, offset = a.tensor("data"), a.tensor("scale"), a.optional("offset")
    shifted = data if offset is None else data - _spread(offset, data.shape)
    return _spread(scale, data.shape) * shifted


@operator("constexpr_lut_to_dense")
def _lut_to_dense(a: Args) -> Array:
    if "shape" in a:
        shape = check_size(a.integers("shape"))
        lut = a.tensor("lut")
        bits = int(lut.size - 1).bit_length()
        packed = a.raw("indices").astype(np.uint8).tobytes()
        return lut[unpack(packed, bits, math.prod(shape), signed=False).astype(np.int64)].reshape(shape)
    return _looked_up(a.tensor("indices"), a.tensor("lut"), _vector_axis(a, a.tensor("indices").ndim))


@operator("constexpr_sparse_to_dense")
def _sparse_to_dense(a: Args) -> Array:
    if "shape" in a:
        shape = check_size(a.integers("shape"))
        packed = a.raw("mask").astype(np.uint8).tobytes()
        mask = unpack(packed, 1, math.prod(shape), signed=False).reshape(shape)
    else:
        mask = a.tensor("mask")
    return _placed(mask, a.tensor("nonzero_data"))


@operator("constexpr_lut_to_sparse")
def _lut_to_sparse(a: Args) -> tuple[Array, Array]:
    """The mask and the non-zero elements, looked up: with vectors each stands for several along `vector_axis`."""
    mask, lut = a.tensor("indices_mask"), a.tensor("lut")
    axis = _vector_axis(a, mask.ndim)
    dense = _looked_up(_placed(mask, a.tensor("indices_nonzero_data")), lut, axis)
    wide = mask if axis is None else np.repeat(mask, lut.shape[-1], axis)
    return wide, dense[wide != 0]


@operator("constexpr_sparse_blockwise_shift_scale")
def _sparse_blockwise_shift_scale(a: Args) -> tuple[Array, Array]:
    """scale * (data - offset) on the non-zero elements only."""
    mask, scale, offset = a.tensor("data_mask"), a.tensor("scale"), a.optional("offset")
    data = a.tensor("nonzero_data")
    present = mask != 0
    shifted = data if offset is None else data - _spread(offset, mask.shape)[present]
    return mask, _spread(scale, mask.shape)[present] * shifted


def _looked_up(indices: Array, lut: Array, axis: int | None) -> Array:
    """lut [*blocks, palette, vector]: the first axes say which table holds for which block of `indices`."""
    if lut.ndim != indices.ndim + 2:
        raise ValueError(f"indices {list(indices.shape)} with a table {list(lut.shape)}")
    blocks = [
        np.arange(size) * parts // size if parts and size % parts == 0 else None
        for size, parts in zip(indices.shape, lut.shape, strict=False)
    ]
    if any(block is None for block in blocks):
        raise ValueError(f"indices {list(indices.shape)} are no multiple of the tables {list(lut.shape)}")
    vector = lut.shape[-1]
    check_size((*indices.shape, vector))
    found = lut[(*np.ix_(*blocks), indices)]
    if axis is None:
        if vector != 1:
            raise ValueError("a table of vectors without vector_axis")
        return found[..., 0]
    shape = [size * vector if i == axis else size for i, size in enumerate(indices.shape)]
    return np.moveaxis(found, -1, axis + 1).reshape(shape)


def _vector_axis(a: Args, rank: int) -> int | None:
    return a.axis("vector_axis", rank) if "vector_axis" in a else None


def _placed(mask: Array, present: Array) -> Array:
    """Zeros, and where the mask is set the elements one after the other, in row-major order."""
    places = np.flatnonzero(mask)
    if places.size != present.size:
        raise ValueError(f"a mask of {places.size} elements for {present.size}")
    dense = np.zeros(mask.size, present.dtype)
    dense[places] = present
    return dense.reshape(mask.shape)


def _spread(values: Array, shape: tuple[int, ...]) -> Array:
    """Each number repeated over its block, up to `shape`."""
    if values.ndim != len(shape):
        raise ValueError(f"{list(values.shape)} blocks for {list(shape)}")
    for axis, size in enumerate(shape):
        if size % values.shape[axis]:
            raise ValueError(f"{list(values.shape)} blocks for {list(shape)}")
        values = np.repeat(values, size // values.shape[axis], axis)
    return values
