"""What the capability check needs of a model, which `models.ModelInfo` has: the two packages do not know each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

_SHARE = {
    "float32": 1.0, "float16": 0.5, "int8-dynamic": 0.25, "int8-weight-only": 0.25, "int8-static": 0.25,
    "int16x8": 0.25, "int4-weight-only": 0.125, "int4-blockwise": 0.125, "mixed": 0.25,
}  # fmt: skip
"""The least that a recipe can leave of a float32 file."""
_SMALLEST_SHARE = 1 / 32
"""Of a recipe of the user's: weights of one bit."""
_ITEM_BYTES = {"8": 1, "16": 2, "32": 4, "64": 8}


class TensorFacts(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int]: ...


class SignatureFacts(Protocol):
    @property
    def inputs(self) -> Sequence[TensorFacts]: ...
    @property
    def outputs(self) -> Sequence[TensorFacts]: ...


class QuantizationFacts(Protocol):
    @property
    def kind(self) -> str: ...


class ModelFacts(Protocol):
    """See ModelInfo for what the fields mean."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def signature(self) -> SignatureFacts | None: ...
    @property
    def operators(self) -> Mapping[str, int]: ...
    @property
    def custom_operators(self) -> Sequence[str]: ...
    @property
    def opsets(self) -> Mapping[str, int]: ...
    @property
    def quantization(self) -> QuantizationFacts | None: ...


@dataclass(frozen=True)
class FileSizes:
    """`least_bytes`: what the result has at least on disk. `loaded_bytes`: that and its inputs and outputs, a lower
    bound too, as the tensors between them are not known before it is loaded."""

    least_bytes: int
    loaded_bytes: int

    @classmethod
    def of(cls, info: ModelFacts, recipe: str) -> FileSizes:
        float_model = info.quantization is None or info.quantization.kind == "float32"
        share = _SHARE.get(recipe, 1.0 if recipe == "as-is" else _SMALLEST_SHARE) if float_model else 1.0
        least = int(info.size_bytes * share)
        tensors = [*info.signature.inputs, *info.signature.outputs] if info.signature else []
        return cls(least, least + sum(_tensor_bytes(tensor) for tensor in tensors))


def _tensor_bytes(tensor: TensorFacts) -> int:
    """Unknown dimensions count as 1, text as nothing."""
    digits = tensor.dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    return math.prod(max(dim, 1) for dim in tensor.shape) * _ITEM_BYTES.get(digits, 1)
