"""What is known about a model file: pure data, no parser and no framework."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Format = Literal[
    "tflite",
    "onnx",
    "keras",
    "h5",
    "saved_model",
    "pt2",
    "torchscript",
    "torch_checkpoint",
    "pte",
    "mlpackage",
    "artifact",
]

QuantizationKind = Literal[
    "float32", "float16", "int8-dynamic", "int8-weights", "int8-static", "int16x8", "mixed"
]


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output. `shape` has -1 where a dimension is not fixed.

    `tensor` is the name inside the graph; `name` is the one a user gives data under. `scale` and `zero_point`
    are set where the tensor is quantized as a whole: real value = scale * (stored value - zero_point). `step`
    is set for a float output that a DEQUANTIZE operator makes: its values are multiples of it. `layout` is "NCHW" or
    "NHWC" where a conversion settled the order of an image's axes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    tensor: str = ""
    scale: float | None = None
    zero_point: int | None = None
    step: float | None = None
    layout: str | None = None

    def fixed_shape(self) -> tuple[int, ...]:
        """The shape with 1 in place of every dimension that is not fixed."""
        return tuple(1 if dim < 0 else dim for dim in self.shape)

    def size_bytes(self) -> int:
        """Bytes of one value of this tensor, unknown dimensions taken as 1. Raises KeyError for text types."""
        return math.prod(self.fixed_shape()) * ITEM_BYTES[self.dtype]


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs and outputs in the order in which the model itself lists them.

    `key` is the name of the SignatureDef, None where the file has none and tensor names were taken.
    """

    key: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """Whether and how a model is quantized. `weights` counts weight elements by dtype."""

    kind: QuantizationKind
    summary: str
    weights: dict[str, int]


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One model file. What a format does not tell without its framework is None or empty.

    `operators` counts operators by name over all subgraphs, `dtypes` counts tensors by dtype. `sha256` is of
    the file's bytes; of a folder, of its sorted list of names and hashes; of an ONNX model with external data, of
    the same list of the model (under the name "") and its data files, so that renaming the model changes nothing.

    `opsets`: version by domain (ONNX, PyTorch). `external_files`: data files of an ONNX model, relative to its
    folder; `size_bytes` includes them. `trust`: why loading or running the model in its own framework would run code
    or touch files as the model says; empty: it would not, or the format cannot be judged without its framework (h5).
    """

    format: Format
    path: str
    sha256: str
    size_bytes: int
    signature: Signature | None = None
    operators: dict[str, int] = {}
    custom_operators: tuple[str, ...] = ()
    parameters: int | None = None
    dtypes: dict[str, int] = {}
    quantization: Quantization | None = None
    subgraphs: int | None = None
    description: str = ""
    opsets: dict[str, int] = {}
    external_files: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()


ITEM_BYTES = {
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float64": 8,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "bool": 1,
    "complex64": 8,
    "complex128": 16,
}
"""Bytes of one element. Sub-byte types (int4, int2) and text are not here: they are never inputs or outputs."""
