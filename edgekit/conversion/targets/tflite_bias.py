"""Biases that do not fit into 32 bits: channels whose weights are all but zero.

An integer bias is counted in steps of the input's scale times the weights'. A pruned or dead channel has a tiny scale, its bias then
has more than 2^31 steps, and ai-edge-quantizer 0.10 stores the smallest integer for it, whatever its sign (30 operators of
MediaPipe's hand_landmark_full). A larger scale for the weights of such a channel, which round to zero then, makes room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.targets.tflite_file import packed, unpacked
from edgekit.conversion.targets.tflite_graph import Graph, Operator, Tensor, read_graphs

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_MOST_STEPS = 2**31 - 1
_GIVEN_STEPS = 2**30
"""Of a bias that did not fit, with its new scale: half of what fits."""


def with_room_for_biases(data: bytes, before: Sequence[Graph]) -> tuple[bytes, int]:
    """The quantized file with such channels stored anew, and how many there were; the same bytes where there are none.

    `before`: the float model. Only int8 weights with a scale per channel, which nothing else reads. Raises ModelError.
    """
    after = read_graphs(data)
    found = [
        (graph, operator, channels)
        for old, graph in zip(before, after, strict=True)
        for operator in graph.operators
        if (channels := _channels(old, graph, operator)) is not None
    ]
    if not found:
        return data, 0
    model = unpacked(data)
    for graph, operator, (weight, bias, scales) in found:
        tensors = model.subgraphs[graph.number].tensors
        step = graph.tensors[operator.inputs[0]].scale[0] * scales
        _store(model, tensors[operator.inputs[1]], weight / _by_axis(scales, graph, operator), "<i1", scales)
        _store(model, tensors[operator.inputs[2]], bias / step, "<i4", step)
    return packed(model, len(data)), sum(_differing(graph, op, scales) for graph, op, (_, _, scales) in found)


def _differing(graph: Graph, operator: Operator, scales: Array) -> int:
    return int((graph.tensors[operator.inputs[1]].scale != scales).sum())


def _channels(old: Graph, graph: Graph, operator: Operator) -> tuple[Array, Array, Array] | None:
    """The float weights and bias of an operator with such channels, and the scales that its weights shall have; None for any
    other operator."""
    import numpy as np

    weight, bias = graph.weight(operator), graph.bias(operator)
    if weight is None or bias is None or (weight.kind, bias.kind) != ("int8", "int32"):
        return None
    given = graph.tensors[operator.inputs[0]]
    direct = operator.inputs[1] >= 0 and graph.tensors[operator.inputs[1]] is weight
    real_weight, real_bias = _float(old, weight), _float(old, bias)
    if (
        not direct
        or real_weight is None
        or real_bias is None
        or len(given.scale) != 1
        or len(weight.scale) < 2
    ):
        return None
    if real_bias.size != len(weight.scale) or _readers(graph, operator.inputs[1], operator.inputs[2]) > 2:
        return None
    least = np.abs(real_bias.reshape(-1)) / (given.scale[0] * _GIVEN_STEPS)
    over = np.abs(real_bias.reshape(-1)) > given.scale[0] * weight.scale * _MOST_STEPS
    if not over.any():
        return None
    # float32, as the file holds them: the bias has to be counted in exactly these
    scales = np.where(over, least, weight.scale).astype(np.float32).astype(np.float64)
    return real_weight, real_bias.reshape(-1), scales


def _float(old: Graph, tensor: Tensor) -> Array | None:
    """The float model's values of the constant of the same name."""
    import numpy as np

    found = next((one for one in old.tensors if one.name == tensor.name and one.constant), None)
    if found is None or found.kind != "float32" or found.shape != tensor.shape:
        return None
    values: Array = found.values().astype(np.float64)
    return values


def _readers(graph: Graph, *numbers: int) -> int:
    return sum(number in numbers for operator in graph.operators for number in operator.inputs)


def _by_axis(scales: Array, graph: Graph, operator: Operator) -> Array:
    weight = graph.tensors[operator.inputs[1]]
    shape = [1] * len(weight.shape)
    shape[weight.axis] = -1
    return scales.reshape(shape)


def _store(model: Any, tensor: Any, values: Array, dtype: str, scales: Array) -> None:
    import numpy as np

    limit = np.iinfo(np.dtype(dtype)).max
    stored = np.clip(np.rint(values), -limit, limit).astype(dtype)
    model.buffers[tensor.buffer].data = np.frombuffer(np.ascontiguousarray(stored).tobytes(), np.uint8)
    tensor.quantization.scale = [float(scale) for scale in scales]
