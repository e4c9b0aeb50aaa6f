"""Says in words and in one word how a model is quantized, from its tensors. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.models.info import Quantization, QuantizationKind

_INTEGER_WEIGHTS = ("int8", "uint8", "int4", "int2")
_WEIGHT_DTYPES = ("float32", "float16", "bfloat16", "float64", "int8", "uint8", "int16", "int4", "int2")
_MOVES_ONLY = ("DEQUANTIZE", "QUANTIZE", "CAST")


@dataclass(frozen=True)
class TensorFact:
    """One tensor as far as quantization goes. `quantized`: it carries at least one scale."""

    dtype: str
    elements: int
    constant: bool
    quantized: bool

    @property
    def is_weight(self) -> bool:
        """A constant that is data, not a shape or an axis (integers without a scale are those)."""
        if not self.constant:
            return False
        return self.quantized or self.dtype.startswith(("float", "bfloat"))


OperatorFact = tuple[str, Sequence[TensorFact], Sequence[TensorFact]]
"""Operator name, its inputs, its outputs."""


def describe(operators: Sequence[OperatorFact]) -> Quantization:
    """What the operators' weights and activations are stored as."""
    weights: Counter[str] = Counter()
    seen: set[int] = set()
    kernels: Counter[str] = Counter()
    behind_dequantize: Counter[str] = Counter()
    for name, inputs, outputs in operators:
        constants = [t for t in inputs if t.is_weight and t.dtype in _WEIGHT_DTYPES]
        for tensor in constants:
            if id(tensor) not in seen:
                seen.add(id(tensor))
                weights[tensor.dtype] += tensor.elements
                if name == "DEQUANTIZE":
                    behind_dequantize[tensor.dtype] += tensor.elements
        kernel = _kernel(name, constants, inputs, outputs)
        if kernel:
            kernels[kernel] += 1
    kind = _kind(weights, kernels, behind_dequantize)
    return Quantization(
        kind=kind, summary=_SUMMARIES[kind] + _share(weights, kind), weights=dict(sorted(weights.items()))
    )


def _kernel(
    name: str, constants: Sequence[TensorFact], inputs: Sequence[TensorFact], outputs: Sequence[TensorFact]
) -> str:
    """How one operator with weights computes: by what its activations are."""
    if name in _MOVES_ONLY or not any(t.dtype in _INTEGER_WEIGHTS for t in constants):
        return ""
    activations = [t for t in (*inputs, *outputs) if not t.constant]
    if any(t.dtype == "int16" and t.quantized for t in activations):
        return "int16x8"
    return "static" if any(t.dtype in ("int8", "uint8") and t.quantized for t in activations) else "dynamic"


def _kind(weights: Counter[str], kernels: Counter[str], behind_dequantize: Counter[str]) -> QuantizationKind:
    total = sum(weights.values())
    integer = sum(weights[dtype] for dtype in _INTEGER_WEIGHTS)
    stored_integer = sum(behind_dequantize[dtype] for dtype in _INTEGER_WEIGHTS)
    if total == 0 or (integer == 0 and weights["float16"] + weights["bfloat16"] == 0):
        return "float32"
    if integer == 0:
        half = weights["float16"] + weights["bfloat16"]
        # Converters leave small constants in float32; a model is float16 when nearly all of it is.
        return "float16" if half >= 0.9 * total else "mixed"
    # int32 biases are not counted above, float32 biases are: hence a share, not "all".
    if integer < 0.9 * total:
        return "mixed"
    if stored_integer >= 0.9 * integer and not kernels:
        return "int8-weights"
    if stored_integer or len(kernels) != 1:
        return "mixed"
    by_kernel: dict[str, QuantizationKind] = {
        "dynamic": "int8-dynamic",
        "static": "int8-static",
        "int16x8": "int16x8",
    }
    return by_kernel[next(iter(kernels))]


_SUMMARIES: dict[QuantizationKind, str] = {
    "float32": "not quantized: weights and activations are floating point",
    "float16": "weights stored as float16, computed in floating point",
    "int8-dynamic": "integer weights; activations are quantized while it runs",
    "int8-weights": "integer weights, expanded to floating point before use",
    "int8-static": "integer weights and activations",
    "int16x8": "integer weights, 16-bit integer activations",
    "mixed": "quantized in part",
}


def _share(weights: Counter[str], kind: QuantizationKind) -> str:
    if kind == "float32":
        return ""
    total = sum(weights.values())
    parts = [f"{100 * count / total:.1f} % {dtype}" for dtype, count in weights.most_common()]
    return f" (weights: {', '.join(parts)})"
