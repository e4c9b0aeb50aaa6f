"""Constants of an ONNX model as a quantizer of ONNX Runtime stores them: W_quantized beside W_scale and W_zero_point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.layers.quantized import ProbedTensor

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_BLOCKS = "MatMulNBits"
_INTEGERS = ("MatMulInteger", "ConvInteger")
_STORED = "_quantized"


class OnnxConstants:
    """Those of a main graph, Constant nodes included (which become initializers)."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self._onnx, self._graph = onnx, graph
        constants = [
            node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"
        ]
        for node in constants:
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
            graph.node.remove(node)
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def array(self, name: str) -> Array | None:
        """As it is stored; None for a name that is no constant."""
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        found: Array = self._onnx.numpy_helper.to_array(tensor)
        return found

    def weights(self, nodes: Sequence[Any]) -> Iterator[tuple[str, ProbedTensor]]:
        """What of these nodes' constants is stored as integers with a scale: a key for each, and how it is stored under the
        float model's name."""
        for node in nodes:
            if node.op_type == _BLOCKS:
                yield self._in_blocks(node)
            place = 0 if node.op_type == "DequantizeLinear" else 1 if node.op_type in _INTEGERS else -1
            if place < 0 or node.input[place] not in self:
                continue
            stored = node.input[place]
            plain = stored.removesuffix(_STORED)
            scale = self.array(node.input[1] if place == 0 else f"{plain}_scale")
            dtype = self._onnx.helper.tensor_dtype_to_np_dtype(self.tensors[stored].data_type).name
            if scale is not None:
                yield stored, ProbedTensor(plain, dtype, int(scale.size), None)

    def _in_blocks(self, node: Any) -> tuple[str, ProbedTensor]:
        """Weights that are packed in blocks: how they are stored; their values are not taken apart."""
        bits = next((attribute.i for attribute in node.attribute if attribute.name == "bits"), 4)
        scales = math.prod(self.tensors[node.input[2]].dims) if node.input[2] in self else 1
        plain = node.input[1].removesuffix(f"_Q{bits}")
        return f"{node.input[1]}, packed", ProbedTensor(plain, f"int{bits}", scales, None)

    def expanded(self, name: str) -> Array | None:
        """As real numbers, by its scale where it has one; None where that is not known."""
        import numpy as np

        values, plain = self.array(name), name.removesuffix(_STORED)
        if values is None or name == plain:
            return values
        scale, zero = self.array(f"{plain}_scale"), self.array(f"{plain}_zero_point")
        if scale is None:
            return None
        shape = [1] * values.ndim
        if scale.size > 1:
            shape[self._axis(name, values.ndim)] = scale.size
        shift = np.zeros(1) if zero is None else zero.astype(np.float64)
        shift = shift.reshape(shape) if shift.size > 1 else shift.reshape([1] * values.ndim)
        real: Array = ((values.astype(np.float64) - shift) * scale.reshape(shape)).astype(np.float32)
        return real

    def _axis(self, name: str, rank: int) -> int:
        """Along which axis a constant has its scales, by the node that reads it."""
        for node in self._graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] == name:
                return int(next((a.i for a in node.attribute if a.name == "axis"), 1)) % rank
            if node.op_type in _INTEGERS and len(node.input) > 1 and node.input[1] == name:
                return rank - 1 if node.op_type == "MatMulInteger" else 0
        return 0
