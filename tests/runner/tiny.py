"""Small .tflite models for what real ones do not show: every dtype, open shapes, reordered signatures, odd names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ADD, MUL, RESHAPE = 0, 18, 22
CUSTOM = 32
DTYPES = {
    "float32": 0,
    "float16": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "string": 5,
    "bool": 6,
    "int16": 7,
    "int8": 9,
    "float64": 10,
    "uint64": 12,
    "uint32": 15,
    "uint16": 16,
}


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int, ...] | None = None
    scale: float | None = None


@dataclass(frozen=True)
class Op:
    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    custom: str | None = None
    shape: tuple[int, ...] = ()


def build(
    path: Path,
    tensors: Sequence[Tensor],
    ops: Sequence[Op],
    inputs: Sequence[int],
    outputs: Sequence[int],
    signature: tuple[Sequence[int], Sequence[int]] | None = None,
) -> Path:
    """Write a model of one graph. `signature`: tensors of its inputs and outputs, in its own order."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.description = 3, b"test"
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(schema, tensor) for tensor in tensors]
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    model.operatorCodes = [_code(schema, op) for op in ops]
    graph.operators = [_operator(schema, op, index) for index, op in enumerate(ops)]
    model.subgraphs = [graph]
    if signature:
        model.signatureDefs = [_signature(schema, tensors, *signature)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(schema: Any, tensor: Tensor) -> Any:
    made = schema.TensorT()
    made.name, made.type, made.buffer = tensor.name, DTYPES[tensor.dtype], 0
    made.shape, made.shapeSignature = list(tensor.shape), list(tensor.signature or tensor.shape)
    if tensor.scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [tensor.scale], [0]
    return made


def _code(schema: Any, op: Op) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = op.code
    code.customCode, code.version = op.custom, 1
    return code


def _operator(schema: Any, op: Op, index: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = index, list(op.inputs), list(op.outputs)
    if op.code == ADD:
        operator.builtinOptionsType, operator.builtinOptions = (
            schema.BuiltinOptions.AddOptions,
            schema.AddOptionsT(),
        )
    if op.code == RESHAPE:
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT()
        operator.builtinOptions.newShape = list(op.shape)
    if op.code == MUL:
        operator.builtinOptionsType, operator.builtinOptions = (
            schema.BuiltinOptions.MulOptions,
            schema.MulOptionsT(),
        )
    return operator


def _signature(schema: Any, tensors: Sequence[Tensor], inputs: Sequence[int], outputs: Sequence[int]) -> Any:
    def mapping(number: int) -> Any:
        made = schema.TensorMapT()
        made.name, made.tensorIndex = f"arg_{tensors[number].name}", number
        return made

    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = "serving_default", 0
    made.inputs, made.outputs = [mapping(i) for i in inputs], [mapping(i) for i in outputs]
    return made


def copy_of(path: Path, dtype: str, name: str = "x") -> Path:
    """A model that gives its only input of 2 x 3 back, flat, in any dtype that RESHAPE takes."""
    scale = 0.5 if dtype in ("int8", "uint8") else None
    tensors = [Tensor(name, dtype, (2, 3), scale=scale), Tensor("y", dtype, (6,), scale=scale)]
    return build(path, tensors, [Op(RESHAPE, (0,), (1,), shape=(6,))], [0], [1])


def open_batch(path: Path) -> Path:
    """x + x with the first dimension left open, as Keras exports it."""
    tensors = [Tensor("x", "float32", (1, 4), (-1, 4)), Tensor("y", "float32", (1, 4), (-1, 4))]
    return build(path, tensors, [Op(ADD, (0, 0), (1,))], [0], [1])


def reordered(path: Path) -> Path:
    """Two inputs and two outputs of different sizes; the signature lists both in the other order."""
    tensors = [
        Tensor("a", "float32", (2,)),
        Tensor("b", "float32", (5,)),
        Tensor("twice", "float32", (2,)),
        Tensor("square", "float32", (5,)),
    ]
    ops = [Op(ADD, (0, 0), (2,)), Op(MUL, (1, 1), (3,))]
    return build(path, tensors, ops, [0, 1], [2, 3], signature=([1, 0], [3, 2]))


def custom(path: Path) -> Path:
    tensors = [Tensor("x", "float32", (4,)), Tensor("y", "float32", (4,))]
    return build(path, tensors, [Op(CUSTOM, (0,), (1,), custom="HouseMade")], [0], [1])
