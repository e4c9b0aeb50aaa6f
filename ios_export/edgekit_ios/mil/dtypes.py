"""Data types of MIL, and how numpy holds them.

Numbers of the enumerations: MILSpec.DataType of coremltools' MIL.proto; BlobDataType of the file weight.bin as
coremltools' own writer stores it (tests/ios_export/test_blobs.py has that writer write every one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit_ios.mil.errors import damaged

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Kind:
    """One data type. `bits` in a file; `numpy` in memory: types of less than a byte take one there. `blob`: its
    number in weight.bin, None where that file cannot hold it."""

    name: str
    numpy: np.dtype[Any]
    bits: int
    blob: int | None = None

    @property
    def signed(self) -> bool:
        return self.numpy.kind == "i"

    def bytes_of(self, count: int) -> int:
        """Bytes that `count` elements take in a file."""
        return (count * self.bits + 7) // 8


def _kind(name: str, numpy: str, bits: int, blob: int | None = None) -> Kind:
    return Kind(name, np.dtype(numpy), bits, blob)


KINDS: dict[int, Kind] = {
    1: _kind("bool", "bool", 8),
    2: _kind("string", "object", 0),
    10: _kind("fp16", "float16", 16, 1),
    11: _kind("fp32", "float32", 32, 2),
    12: _kind("fp64", "float64", 64),
    21: _kind("int8", "int8", 8, 4),
    22: _kind("int16", "int16", 16, 6),
    23: _kind("int32", "int32", 32, 14),
    24: _kind("int64", "int64", 64),
    25: _kind("int4", "int8", 4, 8),
    31: _kind("uint8", "uint8", 8, 3),
    32: _kind("uint16", "uint16", 16, 7),
    33: _kind("uint32", "uint32", 32, 15),
    34: _kind("uint64", "uint64", 64),
    35: _kind("uint4", "uint8", 4, 11),
    36: _kind("uint2", "uint8", 2, 10),
    37: _kind("uint1", "uint8", 1, 9),
    38: _kind("uint6", "uint8", 6, 13),
    39: _kind("uint3", "uint8", 3, 12),
}
BY_NAME = {kind.name: kind for kind in KINDS.values()}


def kind_of(number: int) -> Kind:
    """Raises ModelError E_MODEL_LOAD."""
    if number not in KINDS:
        raise damaged(f"data type {number} is not known")
    return KINDS[number]


def unpack(data: bytes, bits: int, count: int, signed: bool) -> Array:
    """Elements of less than a byte: the first one in the least significant bits of the first byte, and so on, over
    the ends of bytes (documentation of constexpr_lut_to_dense). Signed ones are two's complement."""
    lanes = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    if lanes.size < count * bits:
        raise damaged(f"{len(data)} bytes are too few for {count} elements of {bits} bits")
    weights = (1 << np.arange(bits)).astype(np.int16)
    values = lanes[: count * bits].reshape(count, bits).astype(np.int16) @ weights
    if signed:
        return np.where(values >= 1 << (bits - 1), values - (1 << bits), values).astype(np.int8)
    return values.astype(np.uint8)


def decode(data: bytes, kind: Kind, count: int) -> Array:
    """Elements as a file holds them: little-endian, packed where they are less than a byte."""
    if len(data) != kind.bytes_of(count) or kind.numpy.kind == "O":
        raise damaged(f"{len(data)} bytes for {count} elements of {kind.name}")
    if kind.bits < 8:
        return unpack(data, kind.bits, count, kind.signed)
    return np.frombuffer(data, kind.numpy.newbyteorder("<")).astype(kind.numpy)
