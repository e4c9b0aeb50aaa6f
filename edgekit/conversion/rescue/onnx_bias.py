"""Bias correction of a statically quantized ONNX file (QDQ): what rounding shifts on average is taken back by the bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.extras import need
from edgekit.conversion.layers.onnx_probe import OnnxProbe
from edgekit.conversion.layers.quantized import shifts
from edgekit.conversion.rescue.bias import corrected
from edgekit.conversion.rescue.onnx_flow import View, attributes

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_WHAT = "correcting the biases of an ONNX model"
_LAYERS = ("Conv", "ConvTranspose", "Gemm")
_AROUND = frozenset({"QuantizeLinear", "DequantizeLinear", "Relu", "Reshape"})
"""Past these, a shift of the bias is one of what comes out."""
_INT32 = 6  # onnx.TensorProto.INT32


def onnx_bias_corrected(
    data: bytes, before: OnnxProbe, after: OnnxProbe, samples: Sequence[Sequence[Array]]
) -> tuple[bytes, int]:
    """The file with corrected biases, and how many operators were corrected; the same bytes for none.

    `before`, `after`: the float model and this file; `samples`: real values of the inputs. Raises ModelError, MissingExtra.
    """
    onnx = need("onnx", "onnx", _WHAT)
    model = onnx.load_from_string(data)
    view, ops = View(model, {}), {op.index: op for op in after.ops}
    found = shifts(before, after, samples)
    changed = sum(_correct(onnx, view, after.nodes_of(ops[index]), shift) for index, shift in found.items())
    return (model.SerializeToString(deterministic=True), changed) if changed else (data, 0)


def _correct(onnx: Any, view: View, nodes: Sequence[Any], shift: Array) -> bool:
    """Whether the one layer among these nodes had its bias changed."""
    import numpy as np

    layers = [node for node in nodes if node.op_type in _LAYERS]
    others = {node.op_type for node in nodes} - set(_LAYERS)
    if len(layers) != 1 or not others <= _AROUND or len(layers[0].input) < 3 or not layers[0].input[2]:
        return False
    expanded = layers[0].input[2]
    maker = next((node for node in nodes if expanded in node.output), None)
    if maker is None or view.reads[expanded] != 1 or attributes(layers[0]).get("beta", 1.0) != 1.0:
        return False
    stored, steps = maker.input[:2]
    if stored not in view.constants or steps not in view.constants or view.reads[stored] != 1:
        return False
    tensor, bias, scales = view.constants[stored], view.array(stored), view.array(steps)
    if tensor.data_type != _INT32 or bias.size != shift.size or scales.size not in (1, bias.size):
        return False
    again = corrected(bias.reshape(-1), scales.reshape(-1), shift)
    tensor.CopyFrom(onnx.numpy_helper.from_array(again.reshape(bias.shape), stored))
    return not np.array_equal(again, bias.reshape(-1))
