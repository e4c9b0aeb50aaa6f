"""B2.5: where a factor for each channel passes between layers of an ONNX model, and that the model stays the same with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.layers.onnx_probe import OnnxProbe
from edgekit.conversion.rescue.onnx_equalize import equalized_onnx
from edgekit.conversion.rescue.onnx_links import OnnxLink, find_links
from edgekit.models.inspect import open_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
WIDE = 4
"""Channels of what the first layer of a `Net` gives."""


class Net:
    """A model in the making: each method adds a node and gives the name of its output. It begins with a convolution of 3 into WIDE
    channels, whose channel 1 is 500 times as large as the others."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        weights = self.rng.standard_normal((WIDE, 3, 3, 3))
        weights[1] *= 500
        bias = self.constant(self.rng.standard_normal(WIDE), "b0")
        self.start = self.node("Conv", "x", self.constant(weights, "w0"), bias, pads=[1, 1, 1, 1])

    def constant(self, values: Any, name: str = "") -> str:
        array = np.asarray(values)
        array = array if array.dtype == np.int64 else array.astype(np.float32)
        self.constants.append(onnx.numpy_helper.from_array(array, name or f"c{len(self.constants)}"))
        return str(self.constants[-1].name)

    def random(self, *shape: int, name: str = "") -> str:
        return self.constant(self.rng.standard_normal(shape), name)

    def node(self, op: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        made = list(outputs) or [f"t{len(self.nodes)}"]
        self.nodes.append(onnx.helper.make_node(op, list(inputs), made, **attributes))
        return made[0]

    def conv(self, given: str, *shape: int, name: str = "w1", op: str = "Conv", **attributes: Any) -> str:
        return self.node(op, given, self.random(*shape, name=name), **attributes)

    def save(self, path: Path, *ends: str) -> Path:
        value = onnx.helper.make_tensor_value_info
        outputs = [value(name, 1, None) for name in ends]
        graph = onnx.helper.make_graph(
            self.nodes, "g", [value("x", 1, [1, 3, 6, 6])], outputs, self.constants
        )
        opset = [onnx.helper.make_opsetid("", 17)]
        model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.save(onnx.shape_inference.infer_shapes(model), str(path))
        return path


def sample(seed: int) -> list[Any]:
    return [np.random.default_rng(seed).standard_normal((1, 3, 6, 6), np.float32)]


def links(path: Path) -> tuple[OnnxLink, ...]:
    model = onnx.load(str(path))
    probe = OnnxProbe(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    values = probe.run(sample(0))
    return find_links(
        model,
        {
            t.name: values[n].shape
            for n, t in probe.tensors.items()
            if n in values and t.name not in constants
        },
    )


def names(path: Path) -> list[tuple[list[str], list[str]]]:
    return [([one.name for one in link.makers], [one.name for one in link.readers]) for link in links(path)]


def spread(path: Path, link: OnnxLink) -> float:
    """The largest channel between the layers of a link over the middle one."""
    probe = OnnxProbe(path)
    numbers = {tensor.name: number for number, tensor in probe.tensors.items()}
    name, place = link.values[-1]
    value = np.abs(probe.run(sample(0))[numbers[name]])
    rows = np.moveaxis(value, place.axis, 0).reshape(-1, place.repeat, value.size // value.shape[place.axis])
    channels = rows.max(axis=(1, 2))
    return float(channels.max() / np.median(channels))


def norm(net: Net, given: str) -> str:
    parts = [
        net.constant(net.rng.random(WIDE) + 0.5),
        *(net.random(WIDE, name=n) for n in ("offset", "mean")),
    ]
    return net.node("BatchNormalization", given, *parts, net.constant(net.rng.random(WIDE) + 0.5))


def shape(net: Net, *sizes: int) -> str:
    return net.constant(np.array(sizes, np.int64))


BETWEEN = {
    "nothing": lambda net, x: x,
    "Relu": lambda net, x: net.node("Relu", x),
    "LeakyRelu": lambda net, x: net.node("LeakyRelu", x, alpha=0.1),
    "PRelu": lambda net, x: net.node("PRelu", x, net.random(WIDE, 1, 1)),
    "MaxPool": lambda net, x: net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]),
    "AveragePool": lambda net, x: net.node("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "Pad": lambda net, x: net.node("Pad", x, shape(net, 0, 0, 1, 1, 0, 0, 1, 1)),
    "BatchNormalization": norm,
    "Add of a constant": lambda net, x: net.node("Add", x, net.random(1, WIDE, 1, 1)),
    "gate": lambda net, x: net.node("Mul", x, net.node("Sigmoid", net.conv("x", WIDE, 3, 1, 1, name="gate"))),
}
CUT = {
    "Clip": lambda net, x: net.node("Clip", x, net.constant(0.0), net.constant(6.0)),
    "Sigmoid": lambda net, x: net.node("Sigmoid", x),
    "Pad with a value": lambda net, x: net.node("Pad", x, shape(net, 0, 0, 1, 1, 0, 0, 1, 1), net.constant(1.0)),
    "a shared bias": lambda net, x: net.node("Add", net.node("Add", x, net.random(1, WIDE, 1, 1, name="twice")), "twice"),
}  # fmt: skip


@pytest.mark.parametrize("between", BETWEEN)
def test_b2_5_what_a_factor_passes(tmp_path: Path, between: str) -> None:
    """The link is found, the outlier is gone behind it, and the outputs are the same bit for bit (0 is given otherwise)."""
    net = Net()
    end = net.conv(BETWEEN[between](net, net.start), 5, WIDE, 1, 1)
    path = net.save(tmp_path / "m.onnx", end)
    (link,) = links(path)
    assert [one.name for one in link.readers] == ["w1"]
    signature = open_model(path, use_cache=False).signature
    assert signature is not None
    assert equalized_onnx(path, signature, [sample(0), sample(1)], tmp_path / "e.onnx") == 1
    assert spread(path, link) > 50
    assert spread(tmp_path / "e.onnx", link) < 30


@pytest.mark.parametrize("between", CUT)
def test_b2_5_what_no_factor_passes(tmp_path: Path, between: str) -> None:
    net = Net()
    path = net.save(tmp_path / "m.onnx", net.conv(CUT[between](net, net.start), 5, WIDE, 1, 1))
    assert names(path) == []


def test_b2_5_new_channels_are_no_link(tmp_path: Path) -> None:
    net = Net()
    padded = net.node("Pad", net.start, shape(net, 0, 1, 0, 0, 0, 0, 0, 0))
    assert names(net.save(tmp_path / "m.onnx", net.conv(padded, 5, WIDE + 1, 1, 1))) == []


def test_b2_5_others_would_see_the_factor(tmp_path: Path) -> None:
    """What is an output of the model too, or read by another operator; weights that are read twice."""
    net = Net()
    end = net.conv(net.start, 5, WIDE, 1, 1)
    assert names(net.save(tmp_path / "a.onnx", end, net.start)) == []
    assert names(net.save(tmp_path / "b.onnx", end, net.node("Abs", net.start))) == []
    net = Net()
    ends = [net.conv(net.start, 5, WIDE, 1, 1), net.node("Conv", net.start, "w1")]
    assert names(net.save(tmp_path / "c.onnx", *ends)) == []


def test_b2_5_groups_have_their_own_channels(tmp_path: Path) -> None:
    """Depthwise, two groups, and a transposed convolution with two: makers and readers both."""
    net = Net()
    x = net.conv(net.start, 2 * WIDE, 1, 3, 3, name="depthwise", group=WIDE)
    x = net.conv(x, 6, WIDE, 1, 1, name="grouped", group=2)
    x = net.conv(x, 6, 2, 1, 1, name="transposed", op="ConvTranspose", group=2)
    path = net.save(tmp_path / "m.onnx", net.conv(x, 5, 4, 1, 1, name="last"))
    assert names(path) == [
        (["w0", "b0"], ["depthwise"]),
        (["depthwise"], ["grouped"]),
        (["grouped"], ["transposed"]),
        (["transposed"], ["last"]),
    ]
    assert [one.by_channel for link in links(path) for one in link.readers] == [True, False, False, False]
    signature = open_model(path, use_cache=False).signature
    assert signature is not None
    assert equalized_onnx(path, signature, [sample(0), sample(1)], tmp_path / "e.onnx") == 4


def test_b2_5_sums_have_one_factor(tmp_path: Path) -> None:
    net = Net()
    inside = net.conv(net.node("Relu", net.start), WIDE, WIDE, 1, 1, name="inside")
    path = net.save(
        tmp_path / "m.onnx", net.conv(net.node("Add", net.start, inside), 5, WIDE, 1, 1, name="last")
    )
    assert names(path) == [(["w0", "b0", "inside"], ["inside", "last"])]


@pytest.mark.parametrize("turned", [0, 1])
def test_b2_5_channels_are_followed_through_a_flattening(tmp_path: Path, turned: int) -> None:
    """Each channel is 36 columns of what the Gemm reads; its own output's channels go on into a MatMul, past an Add."""
    net = Net()
    flat = net.node("Flatten", net.node("Relu", net.start))
    sizes = (8, 36 * WIDE) if turned else (36 * WIDE, 8)
    dense = net.node(
        "Gemm", flat, net.random(*sizes, name="w1"), net.random(8, name="b1"), transB=turned, alpha=0.5
    )
    again = net.node("Add", net.node("MatMul", dense, net.random(8, 5, name="w2")), net.random(5, name="b2"))
    path = net.save(tmp_path / "m.onnx", net.node("MatMul", again, net.random(5, 2, name="w3")))
    assert names(path) == [(["w0", "b0"], ["w1"]), (["w1", "b1"], ["w2"]), (["w2", "b2"], ["w3"])]
    first = links(path)[0]
    assert (first.readers[0].repeat, first.values[-1][1].repeat) == (36, 36)
    signature = open_model(path, use_cache=False).signature
    assert signature is not None
    assert equalized_onnx(path, signature, [sample(0), sample(1)], tmp_path / "e.onnx") == 3
    assert spread(path, first) > 50
    assert spread(tmp_path / "e.onnx", first) < 30


def test_b2_5_channels_are_followed_through_other_orders_of_axes(tmp_path: Path) -> None:
    """NCHW to rows of channels, and a mean over height and width; a reshaping that cuts through the channels ends it."""
    net = Net()
    rows = net.node("Reshape", net.node("Transpose", net.start, perm=[0, 2, 3, 1]), shape(net, 0, -1, WIDE))
    path = net.save(tmp_path / "a.onnx", net.node("MatMul", rows, net.random(WIDE, 5, name="w1")))
    assert names(path) == [(["w0", "b0"], ["w1"])]
    net = Net()
    mean = net.node("ReduceMean", net.start, axes=[2, 3], keepdims=0)
    path = net.save(tmp_path / "b.onnx", net.node("MatMul", mean, net.random(WIDE, 5, name="w1")))
    assert names(path) == [(["w0", "b0"], ["w1"])]
    net = Net()
    cut = net.node("Reshape", net.start, shape(net, 1, 6, -1))
    assert names(net.save(tmp_path / "c.onnx", net.node("MatMul", cut, net.random(24, 5, name="w1")))) == []
