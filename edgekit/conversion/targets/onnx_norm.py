"""Batch normalization behind a convolution, put into its weights before an ONNX model is quantized.

A quantizer rounds what lies between the two and computes the normalization in float behind a DequantizeLinear; exporters of training
graphs leave it there, converters to other formats fold it. y = scale * (conv(x) - mean) / sqrt(var + epsilon) + B, channel by channel:
the factor goes into the weights, the rest into the bias.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need
from edgekit.conversion.targets.onnx_plan import new_names, reads_of

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "quantizing an ONNX model"
_EPSILON = 1e-5
"""ONNX's default for BatchNormalization."""


def fold_norms(model: Any) -> int:
    """Fold in place what can be: an inference node with constants, the only reader of a Conv with constant weights. Gives how many.

    `model`: onnx.ModelProto whose constants are initializers. Raises MissingExtra.
    """
    onnx = need("onnx", "onnx", _WHAT)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    reads = Counter((*reads_of(graph), *(place.name for place in graph.output)))
    folded, free = [], new_names(graph)
    for norm in graph.node:
        conv = makers.get(norm.input[0]) if norm.op_type == "BatchNormalization" else None
        if conv is None or conv.op_type != "Conv" or not _simple(norm, conv, constants, reads):
            continue
        values = [onnx.numpy_helper.to_array(constants[name]).astype("float64") for name in norm.input[1:]]
        weights = onnx.numpy_helper.to_array(constants[conv.input[1]])
        bias = (
            onnx.numpy_helper.to_array(constants[conv.input[2]]).astype("float64")
            if conv.input[2:3] not in ([], [""])
            else 0.0
        )
        new = _folded(weights, bias, values, _epsilon(norm))
        names = [free(f"{norm.output[0]}_{part}") for part in ("weight", "bias")]
        graph.initializer.extend(
            onnx.numpy_helper.from_array(value, name) for value, name in zip(new, names, strict=True)
        )
        conv.input[:] = [conv.input[0], *names]
        conv.output[:] = norm.output[:1]
        folded.append(norm)
    for norm in folded:
        graph.node.remove(norm)
    used = {*reads_of(graph), *(place.name for place in graph.output)}
    unused = {name for name in constants if folded and name not in used}
    # old models name their constants as inputs too: one without a value would have to be given
    for held in (graph.initializer, graph.input):
        for one in [one for one in held if one.name in unused]:
            held.remove(one)
    return len(folded)


def _simple(norm: Any, conv: Any, constants: dict[str, Any], reads: Counter[str]) -> bool:
    trains = any(attribute.name == "training_mode" and attribute.i for attribute in norm.attribute)
    own = (*norm.input[1:], *(name for name in conv.input[1:] if name))
    complete = len(norm.input) == 5 and len([name for name in norm.output if name]) == 1
    if trains or not complete or reads[conv.output[0]] != 1 or not all(name in constants for name in own):
        return False
    channels = list(constants[conv.input[1]].dims)[:1]
    return all(list(constants[name].dims) == channels for name in norm.input[1:])


def _epsilon(norm: Any) -> float:
    return next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), _EPSILON)


def _folded(weights: Array, bias: Array | float, values: list[Array], epsilon: float) -> tuple[Array, Array]:
    """`values`: scale, B, mean and variance by output channel, the first axis of the weights. Pure."""
    import numpy as np

    scale, offset, mean, variance = values
    factor = scale / np.sqrt(variance + epsilon)
    spread = factor.reshape(-1, *(1,) * (weights.ndim - 1))
    return (weights * spread).astype(weights.dtype), ((bias - mean) * factor + offset).astype(weights.dtype)
