"""Rows of compressed weights, expanded by hand from the documentation of the constexpr operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.converters.mil.mil import types

from tests.ios_export.table.row import Row, normal, rng

X = normal(6, 8, seed=50)
SCALE = np.array([0.5, 0.25, 2.0, 1.0, 0.1, 0.3], np.float32)
ZERO = np.array([1, -2, 3, 0, 5, -6], np.int8)
BYTES = rng(51).integers(-128, 128, (6, 8)).astype(np.int8)
NIBBLES = rng(52).integers(-8, 8, (6, 8))
BLOCKS = np.abs(normal(3, 2, seed=53)) + 0.1
OFFSETS = rng(54).integers(-8, 8, (3, 2))


def weight(operator: str, make: Any, dense: Any, name: str = "", target: str = "iOS18") -> Row:
    """x + weight"""
    return Row(
        operator,
        (X,),
        lambda x: mb.add(x=x, y=make()),
        lambda x: x + np.asarray(dense, float),
        name=name,
        target=target,
    )


def packed(values: Any, bits: int) -> np.ndarray[Any, Any]:
    """Least significant bits first, in one large number."""
    total = sum(int(v) << (i * bits) for i, v in enumerate(np.asarray(values).reshape(-1)))
    return np.frombuffer(total.to_bytes((np.asarray(values).size * bits + 7) // 8, "little"), np.uint8)


def sub_byte(values: Any, kind: str) -> np.ndarray[Any, Any]:
    return np.asarray(values).astype(types.nptype_from_builtin(types.string_to_builtin(kind)))


def blockwise(values: Any, high: int = 2, wide: int = 4) -> Any:
    return np.kron(values, np.ones((high, wide), np.asarray(values).dtype))


def old_lut(bits: int) -> Row:
    indices = rng(bits).integers(0, 2**bits, (6, 8))
    lut = normal(2**bits, seed=bits)
    return weight(
        "constexpr_lut_to_dense",
        lambda: mb.constexpr_lut_to_dense(indices=packed(indices, bits), lut=lut, shape=np.array([6, 8], np.uint32)),
        lut[indices], f"ios16-{bits}bit", "iOS16",
    )  # fmt: skip


def new_lut(bits: int, groups: tuple[int, int] = (1, 1)) -> Row:
    indices = rng(bits).integers(0, 2**bits, (6, 8))
    lut = normal(*groups, 2**bits, 1, seed=bits)
    dense = np.zeros((6, 8))
    for i, j in np.ndindex(6, 8):
        dense[i, j] = lut[i * groups[0] // 6, j * groups[1] // 8, indices[i, j], 0]
    return weight(
        "constexpr_lut_to_dense",
        lambda: mb.constexpr_lut_to_dense(indices=sub_byte(indices, f"uint{bits}"), lut=lut), dense,
        f"{bits}bit-{groups[0]}x{groups[1]}",
    )  # fmt: skip


def vectors(axis: int) -> Row:
    """Tables of pairs, along one axis or the other."""
    shape = (3, 8) if axis == 0 else (6, 4)
    indices = rng(axis).integers(0, 4, shape)
    lut = normal(1, 1, 4, 2, seed=60)
    dense = np.zeros((6, 8))
    for i, j in np.ndindex(6, 8):
        at = (i // 2, j) if axis == 0 else (i, j // 2)
        dense[i, j] = lut[0, 0, indices[at], (i if axis == 0 else j) % 2]
    return weight(
        "constexpr_lut_to_dense",
        lambda: mb.constexpr_lut_to_dense(indices=sub_byte(indices, "uint2"), lut=lut, vector_axis=np.int32(axis)), dense,
        f"vectors{axis}",
    )  # fmt: skip


MASK = rng(55).integers(0, 2, (6, 8))
PRESENT = normal(int(MASK.sum()), seed=56)
SPARSE = np.zeros((6, 8), np.float32)
SPARSE[MASK == 1] = PRESENT
PRESENT_BYTES = rng(57).integers(-128, 128, int(MASK.sum())).astype(np.int8)
PRESENT_INDICES = rng(58).integers(0, 4, int(MASK.sum()))
LUT = normal(1, 1, 4, 1, seed=59)


def sparse_bytes() -> Any:
    mask, data = mb.constexpr_sparse_blockwise_shift_scale(
        data_mask=sub_byte(MASK, "uint1"),
        nonzero_data=PRESENT_BYTES,
        scale=SCALE.reshape(6, 1),
        offset=ZERO.reshape(6, 1),
    )
    return mb.constexpr_sparse_to_dense(nonzero_data=data, mask=mask)


def sparse_lut() -> Any:
    mask, data = mb.constexpr_lut_to_sparse(
        indices_mask=sub_byte(MASK, "uint1"), indices_nonzero_data=sub_byte(PRESENT_INDICES, "uint2"), lut=LUT
    )
    return mb.constexpr_sparse_to_dense(nonzero_data=data, mask=mask)


def placed(values: Any) -> Any:
    """One after the other where the mask is set."""
    dense, waiting = np.zeros((6, 8)), iter(values)
    for i, j in np.ndindex(6, 8):
        if MASK[i, j]:
            dense[i, j] = next(waiting)
    return dense


ROWS = [
    weight(
        "constexpr_affine_dequantize",
        lambda: mb.constexpr_affine_dequantize(quantized_data=BYTES, zero_point=ZERO, scale=SCALE, axis=np.int32(0)),
        SCALE[:, None] * (BYTES.astype(float) - ZERO[:, None]), target="iOS16",
    ),
    weight(
        "constexpr_affine_dequantize",
        lambda: mb.constexpr_affine_dequantize(quantized_data=BYTES.view(np.uint8), zero_point=np.uint8(7),
                                               scale=np.float32(0.3), axis=np.int32(0)),
        np.float32(0.3) * (BYTES.view(np.uint8).astype(float) - 7), "scalar", "iOS16",
    ),
    weight(
        "constexpr_cast", lambda: mb.constexpr_cast(source_val=SPARSE.astype(np.float16), output_dtype="fp32"),
        SPARSE.astype(np.float16), target="iOS16",
    ),
    weight(
        "constexpr_blockwise_shift_scale",
        lambda: mb.constexpr_blockwise_shift_scale(data=sub_byte(NIBBLES, "int4"), scale=BLOCKS,
                                                   offset=sub_byte(OFFSETS, "int4")),
        blockwise(BLOCKS) * (NIBBLES - blockwise(OFFSETS)), "int4",
    ),
    weight(
        "constexpr_blockwise_shift_scale",
        lambda: mb.constexpr_blockwise_shift_scale(data=BYTES, scale=SCALE.reshape(6, 1)),
        BYTES.astype(float) * SCALE[:, None], "int8",
    ),
    *(old_lut(bits) for bits in (1, 2, 4, 6, 8)),
    *(new_lut(bits) for bits in (1, 2, 3, 4, 6, 8)),
    new_lut(2, (3, 1)),
    new_lut(4, (2, 4)),
    vectors(0),
    vectors(1),
    weight(
        "constexpr_sparse_to_dense",
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=PRESENT, mask=packed(MASK, 1), shape=np.array([6, 8], np.uint32)),
        SPARSE, "ios16", "iOS16",
    ),
    weight(
        "constexpr_sparse_to_dense",
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=PRESENT, mask=sub_byte(MASK, "uint1")), SPARSE,
    ),
    weight("constexpr_sparse_blockwise_shift_scale", sparse_bytes,
           placed(PRESENT_BYTES.astype(float)) * SCALE[:, None] - (MASK * ZERO[:, None]) * SCALE[:, None].astype(float)),
    weight("constexpr_lut_to_sparse", sparse_lut, placed(LUT.reshape(-1)[PRESENT_INDICES])),
]  # fmt: skip
