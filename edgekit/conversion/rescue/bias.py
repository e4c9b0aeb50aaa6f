"""Bias correction of an int8 .tflite file: what rounding shifts on average is taken back by the bias.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019 (arXiv:1906.04721), section
4.2, the empirical form. Each operator is corrected by itself: it and its float counterpart run alone on the same values, so that
no correction depends on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.conversion.layers.quantized import Probe, shifts
from edgekit.conversion.targets.tflite_file import code_of, constant_of, listed, packed, unpacked

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_LAYERS = (3, 4, 9)  # CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED
_INT32 = 2


def corrected(bias: Array, steps: Array, shift: Array) -> Array:
    """An int32 bias, counted in `steps`, less the mean by which its channel is too high (`shift`, real values). Pure."""
    import numpy as np

    limits = np.iinfo(np.int32)
    wanted = bias.astype(np.float64) - np.rint(shift.astype(np.float64) / steps)
    return np.clip(wanted, limits.min, limits.max).astype(np.int32)


def bias_corrected(
    data: bytes, before: Probe, after: Probe, samples: Sequence[Sequence[Array]]
) -> tuple[bytes, int]:
    """The file with corrected biases, and how many operators were corrected; the same bytes for none.

    `before`, `after`: the float model and this file; `samples`: real values of the inputs. Raises ModelError.
    """
    model = unpacked(data)
    graph = model.subgraphs[0]
    found = shifts(before, after, samples)
    changed = sum(_correct(model, graph, graph.operators[index], shift) for index, shift in found.items())
    return (packed(model, len(data)), changed) if changed else (data, 0)


def _correct(model: Any, graph: Any, operator: Any, shift: Array) -> bool:
    import numpy as np

    ins = listed(operator.inputs)
    if code_of(model, operator) not in _LAYERS or len(ins) < 3 or ins[2] < 0:
        return False
    tensor = graph.tensors[ins[2]]
    stored = constant_of(model, tensor)
    scales = np.asarray(listed(tensor.quantization.scale if tensor.quantization else None))
    readers = sum(number == ins[2] for op in graph.operators for number in listed(op.inputs))
    shared = sum(one.buffer == tensor.buffer for one in graph.tensors)
    if tensor.type != _INT32 or stored is None or readers != 1 or shared != 1:
        return False
    bias = np.frombuffer(bytes(stored), "<i4")
    if bias.size != shift.size or scales.size not in (1, bias.size):
        return False
    again = corrected(bias, scales, shift)
    model.buffers[tensor.buffer].data = np.frombuffer(again.astype("<i4").tobytes(), np.uint8)
    return not np.array_equal(again, bias)
