"""Traces made by hand: a source and a converted target, without any framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgekit.conversion.layers.trace import INPUT, Recorder, Trace

Array = np.ndarray[Any, Any]
WEIGHTS = np.random.default_rng(3).standard_normal((6, 4)).astype(np.float32)


def inputs(count: int = 3) -> list[list[Array]]:
    rng = np.random.default_rng(5)
    return [[rng.standard_normal((1, 4, 5, 5)).astype(np.float32)] for _ in range(count)]


def source(sample: Sequence[Array]) -> Trace:
    """NCHW: a 1x1 convolution, relu, an addition, a mean over the image, softmax."""
    recorder = Recorder()
    x = recorder.add(-1, INPUT, "x", sample[0])
    value = np.einsum("oc,nchw->nohw", WEIGHTS, sample[0])
    conv = recorder.add(0, "aten.conv2d.default", "conv", value, [x], "stem")
    relu = recorder.add(1, "aten.relu.default", "relu", np.maximum(value, 0), [conv])
    total = recorder.add(2, "aten.add.Tensor", "add", np.maximum(value, 0) + value, [conv, relu])
    mean = (np.maximum(value, 0) + value).mean((2, 3))
    pooled = recorder.add(3, "aten.mean.dim", "mean", mean, [total])
    spread = np.exp(mean) / np.exp(mean).sum()
    recorder.add(4, "aten._softmax.default", "softmax", spread, [pooled])
    return recorder.trace(["softmax"])


def target(
    damage: Callable[[str, Array], Array] = lambda op, value: value, *, edges: bool = True
) -> Callable[[Sequence[Array]], Trace]:
    """The same in NHWC, with a transposition in front; `damage` changes what an operator gives."""

    def run(sample: Sequence[Array]) -> Trace:
        recorder = Recorder()

        def add(index: int, op: str, value: Array, read: list[str]) -> tuple[str, Array]:
            changed = damage(op, value.copy())
            return recorder.add(index, op, f"t{index}", changed, read if edges else []), changed

        x = recorder.add(-1, INPUT, "in", sample[0])
        name, image = add(0, "TRANSPOSE", sample[0].transpose(0, 2, 3, 1), [x])
        convolved, value = add(1, "CONV_2D", image @ WEIGHTS.T, [name])
        name, relu = add(2, "RELU", np.maximum(value, 0), [convolved])
        name, total = add(3, "ADD", relu + value, [convolved, name])
        name, mean = add(4, "MEAN", total.mean((1, 2)), [name])
        name, _ = add(5, "SOFTMAX", np.exp(mean) / np.exp(mean).sum(), [name])
        return recorder.trace([name])

    return run
