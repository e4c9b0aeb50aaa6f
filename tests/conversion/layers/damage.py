"""Damage done to real converters' output: one operator's constant changed, everything else left as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]
Change = Callable[[Array], Array]


def scaled(values: Array) -> Array:
    return values * np.float32(1.05)


def with_nan(values: Array) -> Array:
    values.reshape(-1)[values.size // 2] = np.nan
    return values


def swapped(values: Array) -> Array:
    """The first two entries of the first axis that is longer than one changed places: output channels."""
    axis = next(i for i, size in enumerate(values.shape) if size > 1)
    order = [1, 0, *range(2, values.shape[axis])]
    return np.ascontiguousarray(np.take(values, order, axis))


def turned(values: Array) -> Array:
    """Rows and columns of a convolution's weights (OHWI) exchanged."""
    return np.ascontiguousarray(values.swapaxes(1, 2))


class Tflite:
    """A .tflite file taken apart."""

    def __init__(self, data: bytes) -> None:
        self._schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
        self._model = self._schema.ModelT.InitFromPackedBuf(data)
        self.graph = self._model.subgraphs[0]
        names = {v: k for k, v in vars(self._schema.BuiltinOperator).items() if isinstance(v, int)}
        codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in self._model.operatorCodes]
        self.ops = [names[codes[operator.opcodeIndex]] for operator in self.graph.operators]

    def constants(self, operator: int) -> list[int]:
        """Which of its inputs are constants."""
        given = enumerate(self.graph.operators[operator].inputs)
        return [place for place, number in given if number >= 0 and self._data(number) is not None]

    def _data(self, number: int) -> Any:
        data = self._model.buffers[self.graph.tensors[number].buffer].data
        return data if data is not None and len(data) else None

    def change(self, operator: int, change: Change, place: int | None = None) -> bytes:
        """The file with one constant of one operator changed (its first one): that operator gets a copy of its own,
        since converters share equal constants."""
        place = self.constants(operator)[0] if place is None else place
        used = self.graph.operators[operator]
        tensor = copy.copy(self.graph.tensors[used.inputs[place]])
        dtype = {0: np.float32, 2: np.int32}[tensor.type]
        values = np.array(self._data(used.inputs[place])).view(dtype).reshape(tensor.shape)
        buffer = self._schema.BufferT()
        buffer.data = np.ascontiguousarray(change(values.copy())).astype(dtype).reshape(-1).view(np.uint8)
        self._model.buffers.append(buffer)
        tensor.buffer = len(self._model.buffers) - 1
        self.graph.tensors.append(tensor)
        used.inputs = np.array(used.inputs)
        used.inputs[place] = len(self.graph.tensors) - 1
        return self.packed()

    def packed(self) -> bytes:
        import flatbuffers

        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def onnx_changed(data: bytes, node: int, change: Change) -> bytes:
    """An ONNX file with the first float initializer of one node changed."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(data)
    weights = {one.name: one for one in model.graph.initializer}
    used = model.graph.node[node]
    place = next(i for i, name in enumerate(used.input) if _is_float(weights.get(name)))
    values = onnx.numpy_helper.to_array(weights[used.input[place]]).copy()
    model.graph.initializer.append(onnx.numpy_helper.from_array(change(values), "changed"))
    used.input[place] = "changed"
    return bytes(model.SerializeToString())


def onnx_weighted(data: bytes) -> list[tuple[int, str]]:
    """Nodes that have a float initializer."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(data)
    floats = {one.name for one in model.graph.initializer if _is_float(one)}
    return [(i, node.op_type) for i, node in enumerate(model.graph.node) if floats.intersection(node.input)]


def _is_float(tensor: Any) -> bool:
    return tensor is not None and tensor.data_type == 1
