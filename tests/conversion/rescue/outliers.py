"""Nets with outlier channels: the demo's float outputs, bit for bit, in a form that int8 cannot hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.conversion.targets.tflite_file import code_of, constant_of, listed, packed, unpacked
from tests.conversion.models import DIGITS

CONV_2D, FULLY_CONNECTED = 3, 9


def with_outliers(layer: int, channels: Sequence[int] = (1, 5), factor: float = 4096.0) -> bytes:
    """Channels of the first or second convolution times `factor`, undone by the weights of the layer behind. Behind the
    first lies another convolution; behind the second a RESHAPE, past which no channel can be followed."""
    data = (DIGITS / "digits.tflite").read_bytes()
    model = unpacked(data)
    graph = model.subgraphs[0]
    heavy = [op for op in graph.operators if code_of(model, op) in (CONV_2D, FULLY_CONNECTED)]

    def values(number: int) -> np.ndarray[Any, Any]:
        tensor = graph.tensors[number]
        model.buffers[tensor.buffer].data = kept = np.array(constant_of(model, tensor))
        found: np.ndarray[Any, Any] = kept.view("<f4").reshape(listed(tensor.shape))
        return found

    first, second = listed(heavy[layer].inputs), listed(heavy[layer + 1].inputs)
    kernel, bias, reading = values(first[1]), values(first[2]), values(second[1])
    for channel in channels:
        kernel[channel] *= factor
        bias[channel] *= factor
        reading.reshape(-1, kernel.shape[0])[:, channel] /= factor
    return packed(model, len(data))
