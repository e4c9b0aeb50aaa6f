"""Constants of a .tflite file as arrays: sparse ones made dense, quantized ones as real numbers. Pure.

Formats: SparsityParameters and QuantizationParameters of the public schema
(tensorflow/compiler/mlir/lite/schema/schema.fbs). Real numbers are rounded as LiteRT's DEQUANTIZE kernels
for x86-64 do; those of other processors may fuse a multiplication with an addition, and differ in the last bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgekit.conversion.targets.tflite_file import listed
from edgekit.models.flat import Damaged

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FLOAT32, FLOAT16, UINT8, INT16, INT8, INT4 = 0, 1, 3, 7, 9, 17
_NUMPY = {FLOAT32: "<f4", FLOAT16: "<f2", UINT8: "u1", INT16: "<i2", INT8: "i1"}
_SPARSE_CSR = 1
_MAX_LEVELS = 16


class NotFolded(Exception):
    """A constant of a kind that is not made into real numbers; says which."""


def stored(tensor: Any, data: Array) -> Array:
    """A constant's values as they are stored, in its shape. `data`: its bytes.

    Raises Damaged, NotFolded (a type that is not known).
    """
    import numpy as np

    shape = [int(size) for size in listed(tensor.shape)]
    if any(size < 0 for size in shape):
        raise Damaged(f"a constant has the shape {shape}")
    flat = _values(int(tensor.type), np.frombuffer(bytes(data), np.uint8), math.prod(shape))
    if tensor.sparsity is not None:
        return dense(flat, shape, tensor.sparsity)
    if flat.size != math.prod(shape):
        raise Damaged(f"a constant has {flat.size} values where its shape {shape} needs {math.prod(shape)}")
    return flat.reshape(shape)


def _values(kind: int, data: Array, elements: int) -> Array:
    import numpy as np

    if kind == INT4:  # two in a byte, the lower half first
        halves = np.stack([data & 0xF, data >> 4], axis=1).reshape(-1)[:elements].astype(np.int8)
        return np.where(halves > 7, halves - 16, halves).astype(np.int8)
    if kind not in _NUMPY:
        raise NotFolded(f"constants of type {kind}")
    dtype = np.dtype(_NUMPY[kind])
    if data.size % dtype.itemsize:
        raise Damaged(f"a constant has {data.size} bytes of {dtype.itemsize} each")
    return data.view(dtype)


def real(values: Array, quantization: Any) -> Array:
    """Stored values as float32, as LiteRT's DEQUANTIZE gives them; floats are widened.

    Raises Damaged where the scales do not fit the shape, NotFolded where there are none or they are kept by blocks.
    """
    import numpy as np

    if values.dtype.kind == "f":
        return values.astype(np.float32)
    scales = np.asarray(listed(quantization.scale if quantization else None), np.float32)
    zeros = np.asarray(listed(quantization.zeroPoint if quantization else None) or [0], np.int64)
    if not scales.size:
        raise NotFolded("integer constants without a scale")
    if quantization.detailsType:
        raise NotFolded("constants that are quantized by blocks")
    if scales.size == 1:
        # LiteRT's kernel for one scale computes q s - z s in single precision, the one for channels (q - z) s.
        scale = scales[0]
        one: Array = values.astype(np.float32) * scale + np.float32(-zeros[0]) * scale
        return one
    axis = int(quantization.quantizedDimension)
    if not 0 <= axis < values.ndim or values.shape[axis] != scales.size or zeros.size not in (1, scales.size):
        raise Damaged(f"{scales.size} scales and {zeros.size} zero points for the shape {list(values.shape)}")
    shape = [1] * values.ndim
    shape[axis] = -1
    apart = (values.astype(np.int64) - zeros.reshape(shape if zeros.size > 1 else [1] * values.ndim)).astype(
        np.float32
    )
    by_channel: Array = apart * scales.reshape(shape)
    return by_channel


def dense(values: Array, shape: list[int], sparsity: Any) -> Array:
    """A sparse constant in its shape, zero where nothing is stored.

    The values lie in the leaves of a tree whose levels are the dimensions in `traversalOrder`; a block that a dimension
    is cut into is a level of its own (`blockMap`: which dimension). A level is dense, or lists its indices
    (compressed sparse rows). Raises Damaged for whatever does not fit the shape.
    """
    import numpy as np

    order = [int(dim) for dim in listed(sparsity.traversalOrder)]
    blocks = [int(dim) for dim in listed(sparsity.blockMap)]
    levels = listed(sparsity.dimMetadata)
    rank = len(shape)
    if len(levels) > _MAX_LEVELS or len(levels) != len(order) or len(order) != rank + len(blocks):
        raise Damaged(
            f"{len(levels)} levels and {len(order)} dimensions for a sparse constant of rank {rank}"
        )
    if sorted(order) != list(range(len(order))) or any(not 0 <= dim < rank for dim in blocks):
        raise Damaged("the dimensions of a sparse constant are no order of its own")
    total = math.prod(shape)
    places = np.zeros(1, np.int64)
    leaves = np.zeros(1, np.int64)
    sizes = _level_sizes(order, blocks, levels, shape)
    for dim, level in zip(order, levels, strict=True):
        parents, leaves, index = _children(leaves, level, sizes[dim], total)
        places = places[parents] + index * _stride(dim, blocks, sizes, shape)
    if places.size != values.size:
        raise Damaged(f"a sparse constant has {values.size} values for {places.size} places")
    full = np.zeros(total, values.dtype)
    full[places] = values
    return full.reshape(shape)


def _level_sizes(order: list[int], blocks: list[int], levels: list[Any], shape: list[int]) -> list[int]:
    """How many places each dimension has, those that are cut into blocks first, then the blocks. Raises Damaged."""
    rank = len(shape)
    sizes = list(shape) + [0] * len(blocks)
    for number, dim in enumerate(blocks):
        level = levels[order.index(rank + number)]
        size = int(level.denseSize)
        if level.format == _SPARSE_CSR or size < 1 or sizes[dim] % size:
            raise Damaged(f"blocks of {size} in a dimension of {sizes[dim]}")
        sizes[rank + number] = size
        sizes[dim] //= size
    return sizes


def _stride(dim: int, blocks: list[int], sizes: list[int], shape: list[int]) -> int:
    """How far two neighbours in a dimension lie apart in the dense constant."""
    rank = len(shape)
    own = blocks[dim - rank] if dim >= rank else dim
    after = math.prod(shape[own + 1 :])
    # A dimension may be cut more than once: the later a block, the finer it is.
    first = dim - rank + 1 if dim >= rank else 0
    inner = [sizes[rank + n] for n in range(first, len(blocks)) if blocks[n] == own]
    return after * math.prod(inner)


def _children(nodes: Array, level: Any, size: int, most: int) -> tuple[Array, Array, Array]:
    """Of every node its children: their parents' positions, their own numbers, their index in the dimension."""
    import numpy as np

    if level.format != _SPARSE_CSR:
        if int(level.denseSize) != size or nodes.size * size > most:
            raise Damaged(f"a level of {int(level.denseSize)} places in a dimension of {size}")
        parents = np.repeat(np.arange(nodes.size), size)
        index = np.tile(np.arange(size), nodes.size)
        return parents, np.repeat(nodes, size) * size + index, index
    segments, indices = (_numbers(part) for part in (level.arraySegments, level.arrayIndices))
    if nodes.size and int(nodes.max()) + 1 >= segments.size:
        raise Damaged(f"{segments.size} segments of a sparse constant for {int(nodes.max()) + 1} rows")
    starts, ends = segments[nodes], segments[nodes + 1]
    if (starts > ends).any() or (starts < 0).any() or (ends > indices.size).any():
        raise Damaged("the segments of a sparse constant lie outside of its indices")
    counts = ends - starts
    if int(counts.sum()) > most:
        raise Damaged("a sparse constant has more values than its shape has places")
    parents = np.repeat(np.arange(nodes.size), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    own = np.arange(parents.size) - before + starts[parents]
    index = indices[own]
    if ((index < 0) | (index >= size)).any():
        raise Damaged(f"an index of a sparse constant lies outside of its dimension of {size}")
    return parents, own, index


def _numbers(vector: Any) -> Array:
    import numpy as np

    values = None if vector is None else vector.values
    return np.asarray(listed(values), np.int64)
