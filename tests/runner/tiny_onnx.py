"""Small .onnx models: those of `tiny` in the other format, and what only ONNX has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 17
IR_VERSION = 8
HOUSE = "house"


def build(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Sequence[Any] = (),
) -> Path:
    """Write a model of one graph; `weights` are TensorProtos."""
    import onnx

    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(HOUSE, 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    path.write_bytes(model.SerializeToString())
    return path


def value(name: str, dtype: str, shape: Sequence[int | str | None] | None) -> Any:
    """An input or output; a name or None among the sizes is an open dimension."""
    import onnx

    number = onnx.TensorProto.DataType.Value({"float32": "FLOAT"}.get(dtype, dtype.upper()))
    return onnx.helper.make_tensor_value_info(name, number, shape)


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    import onnx

    return onnx.helper.make_node(kind, inputs, outputs, **attributes)


def weight(name: str, array: Any) -> Any:
    import onnx

    return onnx.numpy_helper.from_array(np.asarray(array), name)


def copy_of(path: Path, dtype: str, name: str = "x") -> Path:
    """A model that gives its only input of 2 x 3 back, flat, in any dtype."""
    nodes = [node("Reshape", [name, "to"], ["y"])]
    return build(
        path, nodes, [value(name, dtype, (2, 3))], [value("y", dtype, (6,))], [weight("to", np.array([6]))]
    )


def open_batch(path: Path) -> Path:
    """x + x with the first dimension left open."""
    shape = ("batch", 4)
    nodes = [node("Add", ["x", "x"], ["y"])]
    return build(path, nodes, [value("x", "float32", shape)], [value("y", "float32", shape)])


def reordered(path: Path) -> Path:
    """Two inputs and two outputs of different sizes; the nodes come in the other order."""
    nodes = [node("Mul", ["b", "b"], ["square"]), node("Add", ["a", "a"], ["twice"])]
    inputs = [value("a", "float32", (2,)), value("b", "float32", (5,))]
    outputs = [value("twice", "float32", (2,)), value("square", "float32", (5,))]
    return build(path, nodes, inputs, outputs)


def custom(path: Path) -> Path:
    nodes = [node("HouseMade", ["x"], ["y"], domain=HOUSE)]
    return build(path, nodes, [value("x", "float32", (4,))], [value("y", "float32", (4,))])


def small(path: Path) -> Path:
    """Convolutions over a 128 x 128 image, then a layer of 10: 260 kB of weights that no zip would shrink."""
    rng = np.random.default_rng(0)
    weights = [
        weight("w1", rng.normal(0, 0.2, (16, 3, 5, 5)).astype("f4")),
        weight("w2", rng.normal(0, 0.05, (32, 16, 5, 5)).astype("f4")),
        weight("w3", rng.normal(0, 0.05, (1600, 32)).astype("f4")),
        weight("w4", rng.normal(0, 0.05, (1600, 10)).astype("f4")),
    ]
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], strides=[2, 2]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2]),
        node("Relu", ["c2"], ["r2"]),
        node("GlobalAveragePool", ["r2"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w3"], ["g"], transB=1),
        node("Tanh", ["g"], ["t"]),
        node("MatMul", ["t", "w4"], ["y"]),
    ]
    return build(
        path, nodes, [value("x", "float32", ("n", 3, 128, 128))], [value("y", "float32", ("n", 10))], weights
    )
