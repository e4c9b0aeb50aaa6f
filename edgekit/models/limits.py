"""What no model for a phone or a board has: checked before anything of that size is made."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.errors import ModelError
from edgekit.models.flat import Damaged
from edgekit.models.info import ITEM_BYTES, TensorSpec

MAX_TENSOR_BYTES = 1 << 34
"""Of one tensor (16 GiB); unknown dimensions count as 1."""
MAX_INPUTS = 10_000
MAX_OPERATOR_NAMES = 20_000
MAX_RANK = 64
_FAR_PAST_END_BYTES = 1 << 24
_AGAIN = "copy or export the model again"

_SMALL_BITS = {
    "int4": 4, "uint4": 4, "float4_e2m1": 4, "int2": 2, "uint2": 2, "float6_e2m3": 6, "float6_e3m2": 6,
}  # fmt: skip


def item_bits(dtype: str) -> int:
    """Bits of one element; 8 for types whose size is not known here (text, 8-bit floats)."""
    return _SMALL_BITS.get(dtype) or 8 * ITEM_BYTES.get(dtype, 1)


def tensor_bytes(shape: Sequence[int], dtype: str, name: str) -> int:
    """Bytes of a tensor. Raises Damaged for dimensions below -1, too many of them, or more than MAX_TENSOR_BYTES."""
    if len(shape) > MAX_RANK:
        raise Damaged(f"tensor '{name[:200]}' has {len(shape)} dimensions")
    if any(dim < -1 or dim > 1 << 62 for dim in shape):
        raise Damaged(f"tensor '{name[:200]}' has the shape {list(shape)}")
    size_bytes = (math.prod(1 if dim < 0 else dim for dim in shape) * item_bits(dtype) + 7) // 8
    if size_bytes > MAX_TENSOR_BYTES:
        raise Damaged(f"tensor '{name[:200]}' of shape {list(shape)} would take {size_bytes} bytes")
    return size_bytes


def checked(spec: TensorSpec) -> TensorSpec:
    """The same spec. Raises Damaged where its shape is absurd."""
    tensor_bytes(spec.shape, spec.dtype, spec.name)
    return spec


def count(names: dict[str, int], name: str) -> None:
    """Count one operator. Raises Damaged for more different names than there are operators in any framework."""
    names[name] = names.get(name, 0) + 1
    if len(names) > MAX_OPERATOR_NAMES:
        raise Damaged(f"more than {MAX_OPERATOR_NAMES} different operators")


def as_error(damage: Damaged, size_bytes: int, name: str) -> ModelError:
    """E_MODEL_TRUNCATED where the file ends a believable number of bytes too early, else E_MODEL_CORRUPT."""
    missing = (damage.needed_bytes or 0) - size_bytes
    if 0 < missing <= max(_FAR_PAST_END_BYTES, 64 * size_bytes):
        return ModelError(f"{name} ends too early: {damage}", code="E_MODEL_TRUNCATED", hint=_AGAIN)
    return ModelError(f"{name} is damaged: {damage}", code="E_MODEL_CORRUPT", hint=_AGAIN)
