"""What each quantized operator of an ONNX model costs (B2.6), and damage that has to be named (B2-b3)."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion import ConvertOptions
from edgekit.conversion import convert as work
from edgekit.conversion.layers import QuantizedReport, layers_html, probes_for, quantized_layers

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime.quantization")
Array = np.ndarray[Any, Any]


@cache
def net() -> bytes:
    """Conv, Relu, MaxPool, flattened, two dense layers and a sum."""
    rng = np.random.default_rng(4)
    helper, numbers = onnx.helper, onnx.numpy_helper.from_array

    def constant(name: str, *shape: int) -> Any:
        return numbers((rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype("f4"), name)

    nodes = [
        helper.make_node("Conv", ["x", "cw", "cb"], ["c"], kernel_shape=[3, 3], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2], name="pool"),
        helper.make_node("Reshape", ["m", "shape"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "aw", "ab"], ["a"], transB=1, name="first"),
        helper.make_node("Gemm", ["a", "bw", "bb"], ["b"], transB=1, name="second"),
        helper.make_node("Add", ["b", "last"], ["y"], name="sum"),
    ]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", 1, [1, 3, 10, 10])], [helper.make_tensor_value_info("y", 1, [1, 24])],
        [
            constant("cw", 8, 3, 3, 3), constant("cb", 8), constant("aw", 32, 128), constant("ab", 32),
            constant("bw", 24, 32), constant("bb", 24), constant("last", 1, 24), numbers(np.array([1, 128], np.int64), "shape"),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def samples(count: int = 4) -> list[list[Array]]:
    rng = np.random.default_rng(1)
    return [[rng.normal(size=(1, 3, 10, 10)).astype("f4")] for _ in range(count)]


@cache
def made(recipe: str) -> tuple[bytes, Any]:
    """The quantized file and the layer report of the conversion."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "net.onnx").write_bytes(net())
        np.savez(folder / "c.npz", x=np.concatenate([one[0] for one in samples(16)]))
        options = ConvertOptions(recipe=recipe, to="onnx", calibration=folder / "c.npz", cache=False)
        done = work(folder / "net.onnx", options=options, output=folder / "o.ekm", debug_layers=True)
        return done.artifact.model_path.read_bytes(), done.layers


def report_of(data: bytes) -> QuantizedReport:
    with tempfile.TemporaryDirectory() as name:
        before, after = Path(name) / "before.onnx", Path(name) / "after.onnx"
        before.write_bytes(net())
        after.write_bytes(data)
        probes = probes_for("onnx", before, after)
        assert probes is not None
        return quantized_layers(*probes, samples())


def test_what_lies_between_two_roundings_is_one_operator() -> None:
    """QDQ: a convolution with its activation has one rounding behind it. Pooling and flattening add nothing."""
    _, layers = made("int8-static")
    report = layers.quantized
    assert [row.op for row in report.ops] == [
        "QuantizeLinear", "Conv + Relu", "MaxPool", "Reshape", "Gemm", "Gemm", "Add",
    ]  # fmt: skip
    for row in report.ops:
        assert row.own is not None
        if row.op in ("MaxPool", "Reshape"):
            assert row.own == 0
        else:
            assert 0.0005 < row.own < 0.02
        assert row.range.saturated < 0.01
        assert row.range.held_low is not None
    assert [[weight.scales for weight in row.weights] for row in report.ops][1] == [8]
    assert all(0.001 < weight.error < 0.02 for row in report.ops for weight in row.weights)
    assert "Quantized operators" in layers_html(layers)


@pytest.mark.parametrize(
    ("recipe", "ops"),
    [
        ("int8-dynamic", ["Gemm", "Gemm"]),
        ("int8-weight-only", ["Conv", "Gemm", "Gemm"]),
        ("int4-blockwise", ["Gemm", "Gemm"]),
    ],
)
def test_other_recipes(recipe: str, ops: list[str]) -> None:
    """Integer kernels with their casts and scales, expanded weights, packed blocks: each counts as the float operator."""
    report = made(recipe)[1].quantized
    assert [row.op for row in report.ops] == ops
    assert all(row.own is not None and 0.0005 < row.own < 0.2 for row in report.ops)
    assert all(row.weights for row in report.ops)


@pytest.mark.parametrize("weight", ["cw", "aw", "bw"])
@pytest.mark.parametrize("recipe", ["int8-static", "int8-weight-only"])
def test_a_wrong_scale_is_named(recipe: str, weight: str) -> None:
    """(B2-b3) The scales of one layer's weights off by 30 %: that layer is the worst."""
    data = made(recipe)[0]
    model = onnx.load_from_string(data)
    tensor = next(one for one in model.graph.initializer if one.name == f"{weight}_scale")
    wrong = onnx.numpy_helper.to_array(tensor) * np.float32(1.3)
    tensor.CopyFrom(onnx.numpy_helper.from_array(wrong, tensor.name))
    report = report_of(model.SerializeToString())
    worst = report.ops[report.worst[0]]
    assert weight in [one.name for one in worst.weights]
    assert worst.own is not None
    assert worst.own > 0.1


def test_clipping_shows_as_saturation() -> None:
    """(B2-b3) The range of one tensor cut to half."""
    model = onnx.load_from_string(made("int8-static")[0])
    tensor = next(one for one in model.graph.initializer if one.name == "a_scale")
    cut = onnx.numpy_helper.to_array(tensor) * np.float32(0.5)
    tensor.CopyFrom(onnx.numpy_helper.from_array(cut, tensor.name))
    report = report_of(model.SerializeToString())
    assert "saturates most" in report.summary
    row = next(row for row in report.ops if row.op == "Gemm")
    assert row.range is not None
    assert (row.range.saturated or 0) > 0.01
