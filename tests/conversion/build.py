"""Small TFLite models made by hand with LiteRT's own schema classes, for cases that no real model shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

ADD, DEPTHWISE_CONV_2D, FULLY_CONNECTED, CUSTOM = 0, 4, 9, 32
_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int8": 9}


@dataclass
class Graph:
    """One subgraph under construction. Tensors are numbered in the order in which they are added."""

    tensors: list[tuple[str, str, list[int], bytes, list[int] | None]] = field(default_factory=list)
    operators: list[tuple[int, list[int], list[int], Any, str]] = field(default_factory=list)

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str = "float32", dynamic: Sequence[int] | None = None
    ) -> int:
        self.tensors.append((name, dtype, list(shape), b"", None if dynamic is None else list(dynamic)))
        return len(self.tensors) - 1

    def constant(self, name: str, values: np.ndarray[Any, Any]) -> int:
        self.tensors.append((name, str(values.dtype), list(values.shape), values.tobytes(), None))
        return len(self.tensors) - 1

    def operator(
        self, code: int, inputs: list[int], outputs: list[int], options: Any = None, custom: str = ""
    ) -> None:
        self.operators.append((code, inputs, outputs, options, custom))

    def build(self, inputs: list[int], outputs: list[int], *, signature: bool = True) -> bytes:
        """The file's bytes."""
        schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
        import flatbuffers

        model, graph = schema.ModelT(), schema.SubGraphT()
        model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
        graph.tensors, graph.operators = [], []
        graph.inputs, graph.outputs = inputs, outputs
        for name, dtype, shape, data, dynamic in self.tensors:
            graph.tensors.append(_tensor(schema, model, name, _TYPES[dtype], shape, data, dynamic))
        for code, ins, outs, options, custom in self.operators:
            graph.operators.append(_operator(schema, model, code, ins, outs, options, custom))
        model.subgraphs = [graph]
        if signature:
            model.signatureDefs = [_signature(schema, graph)]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _tensor(
    schema: Any, model: Any, name: str, kind: int, shape: list[int], data: bytes, dynamic: list[int] | None
) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name, kind, shape, 0
    tensor.shapeSignature = dynamic
    if data:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, dtype=np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    return tensor


def _operator(
    schema: Any, model: Any, number: int, ins: list[int], outs: list[int], options: Any, custom: str
) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = number
    code.customCode, code.version = custom or None, 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes) - 1, ins, outs
    if options is not None:
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    return operator


def _signature(schema: Any, graph: Any) -> Any:
    definition = schema.SignatureDefT()
    definition.signatureKey, definition.subgraphIndex = "serving_default", 0
    definition.inputs = [_entry(schema, graph, at) for at in graph.inputs]
    definition.outputs = [_entry(schema, graph, at) for at in graph.outputs]
    return definition


def _entry(schema: Any, graph: Any, at: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = graph.tensors[at].name, at
    return entry


def dense(
    weights: np.ndarray[Any, Any], *, signature: bool = True, batch: int | None = 1, bias: float = 0.0
) -> bytes:
    """y = x W^T + bias; x is [batch, columns], batch None is not fixed."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    rows, columns = weights.shape
    graph = Graph()
    dynamic = [-1] if batch is None else [batch]
    x = graph.tensor("x", [1 if batch is None else batch, columns], dynamic=[*dynamic, columns])
    w = graph.constant("w", weights.astype(np.float32))
    b = graph.constant("b", np.full(rows, bias, dtype=np.float32))
    y = graph.tensor("y", [1 if batch is None else batch, rows], dynamic=[*dynamic, rows])
    graph.operator(FULLY_CONNECTED, [x, w, b], [y], schema.FullyConnectedOptionsT())
    return graph.build([x], [y], signature=signature)


def adder(*, signature: bool = True) -> bytes:
    """y = x + x over [1, 8]: no weights at all."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    graph = Graph()
    x, y = graph.tensor("x", [1, 8]), graph.tensor("y", [1, 8])
    graph.operator(ADD, [x, x], [y], schema.AddOptionsT())
    return graph.build([x], [y], signature=signature)


def depthwise_only() -> bytes:
    """One depthwise convolution, its channels as many as dynamic quantization would take."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    graph, channels = Graph(), 64
    rng = np.random.default_rng(3)
    x = graph.tensor("x", [1, 8, 8, channels])
    w = graph.constant("w", rng.normal(size=(1, 3, 3, channels)).astype(np.float32))
    b = graph.constant("b", np.zeros(channels, dtype=np.float32))
    y = graph.tensor("y", [1, 6, 6, channels])
    options = schema.DepthwiseConv2DOptionsT()
    options.padding, options.strideW, options.strideH, options.depthMultiplier = 1, 1, 1, 1
    options.dilationWFactor = options.dilationHFactor = 1
    graph.operator(DEPTHWISE_CONV_2D, [x, w, b], [y], options)
    return graph.build([x], [y])


def with_custom_operator() -> bytes:
    graph = Graph()
    x, y = graph.tensor("x", [1, 8]), graph.tensor("y", [1, 8])
    graph.operator(CUSTOM, [x], [y], custom="FlyToTheMoon")
    return graph.build([x], [y])
