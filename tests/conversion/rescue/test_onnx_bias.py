"""B2.5: bias correction of ONNX files: held-out samples, and a quantizer that shifts what it makes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.layers import probes_for
from edgekit.conversion.layers.onnx_probe import OnnxProbe
from edgekit.conversion.recipes import Recipe
from edgekit.conversion.rescue.onnx_bias import onnx_bias_corrected
from edgekit.conversion.targets.base import Made, Prepared, Stream
from edgekit.conversion.targets.onnx import OnnxTarget
from edgekit.errors import VerificationError
from tests.conversion.convert import convert

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
MODULE = import_module("edgekit.conversion.convert")  # the package's attribute of that name is the function
Array = np.ndarray[Any, Any]
LAYERS = 4


def images(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).random((count, 1, 3, 12, 12), np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions, one of them depthwise, and two dense layers, the last as MatMul and Add; c.npz lies beside it."""
    folder, rng = tmp_path_factory.mktemp("bias"), np.random.default_rng(0)
    sizes = {
        "w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "b2": (8,), "w3": (8 * 36, 16), "b3": (16,),
        "w4": (16, 6), "b4": (6,),
    }  # fmt: skip
    constants = [
        onnx.numpy_helper.from_array(
            (rng.standard_normal(shape) / max(1.0, np.sqrt(np.prod(shape) / 8))).astype(np.float32), name
        )
        for name, shape in sizes.items()
    ]
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]), node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], group=8), node("Relu", ["c2"], ["r2"]),
        node("AveragePool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]), node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["d1"]), node("Relu", ["d1"], ["r3"]),
        node("MatMul", ["r3", "w4"], ["m"]), node("Add", ["m", "b4"], ["y"]),
    ]  # fmt: skip
    graph = onnx.helper.make_graph(
        nodes, "g", [value("x", 1, [1, 3, 12, 12])], [value("y", 1, [1, 6])], constants
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(folder / "m.onnx"))
    np.savez(folder / "c.npz", x=images(40, 1))
    return folder / "m.onnx"


@pytest.fixture(scope="module")
def quantized(model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("quantized")
    made = convert(
        model, to="onnx", recipe="int8-static", calibration=model.parent / "c.npz", output=folder / "o.ekm"
    )
    return made.model_path.read_bytes()


def shifted(data: bytes, steps: int) -> bytes:
    """A quantized file whose biases are off by so many steps of what comes out: a quantizer that rounds to one side only."""
    model = onnx.load_from_string(data)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    array = onnx.numpy_helper.to_array
    makers = {name: node for node in model.graph.node for name in node.output}
    readers = {name: node for node in model.graph.node for name in node.input}
    for layer in model.graph.node:
        if layer.op_type not in ("Conv", "Gemm"):
            continue
        bias, scale = makers[layer.input[2]].input[:2]
        step = array(tensors[readers[layer.output[0]].input[1]])
        moved = array(tensors[bias]) + np.rint(steps * step / array(tensors[scale])).astype(np.int32)
        tensors[bias].CopyFrom(onnx.numpy_helper.from_array(moved.astype(np.int32), bias))
    return bytes(model.SerializeToString(deterministic=True))


def error(model: Path, data: bytes) -> float:
    """Mean squared error of the outputs on 32 samples that no correction has seen."""
    sessions = [
        runtime.InferenceSession(one, providers=["CPUExecutionProvider"])
        for one in (model.read_bytes(), data)
    ]
    pairs = [[session.run(None, {"x": image})[0] for session in sessions] for image in images(32, 2)]
    return float(np.mean([(a - b) ** 2 for a, b in pairs]))


def corrected_file(model: Path, data: bytes, folder: Path) -> tuple[bytes, int]:
    (folder / "q.onnx").write_bytes(data)
    before, after = probes_for("onnx", model, folder / "q.onnx") or (None, None)
    assert isinstance(before, OnnxProbe)
    assert isinstance(after, OnnxProbe)
    return onnx_bias_corrected(data, before, after, [[image] for image in images(32, 1)])


def test_b2_5_it_helps_on_samples_that_it_has_not_seen(model: Path, quantized: bytes, tmp_path: Path) -> None:
    found, count = corrected_file(model, quantized, tmp_path)
    assert count == LAYERS
    assert error(model, found) < error(model, quantized)
    assert found == corrected_file(model, quantized, tmp_path)[0], "the same bytes each time"


def test_b2_5_a_shift_is_taken_back(model: Path, quantized: bytes, tmp_path: Path) -> None:
    """Of convolutions channel by channel along their own axis, of dense layers along the last."""
    damaged = shifted(quantized, 12)
    found, count = corrected_file(model, damaged, tmp_path)
    assert count == LAYERS
    assert error(model, damaged) > 20 * error(model, quantized)
    assert error(model, found) < 0.1 * error(model, damaged)


def test_b2_5_a_shared_bias_is_left_alone(model: Path, quantized: bytes, tmp_path: Path) -> None:
    changed = onnx.load_from_string(quantized)
    name = next(t.name for t in changed.graph.initializer if t.name == "b1_quantized")
    changed.graph.node.append(onnx.helper.make_node("Identity", [name], ["seen"]))
    changed.graph.output.append(onnx.helper.make_tensor_value_info("seen", 6, [8]))
    _, count = corrected_file(model, changed.SerializeToString(), tmp_path)
    assert count == LAYERS - 1


class Shifting(OnnxTarget):
    """The real target, whose real file has its biases shifted behind its back, by the same steps each time."""

    def make(self, prepared: Prepared, recipe: Recipe, calibration: Stream) -> Made:
        made = super().make(prepared, recipe, calibration)
        made.path.write_bytes(shifted(made.path.read_bytes(), 60))
        return made


def test_b2_5_the_rescue_uses_it(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "find_target", lambda profile, to: Shifting())
    wishes: dict[str, Any] = {"to": "onnx", "recipe": "int8-static", "calibration": model.parent / "c.npz"}
    with pytest.raises(VerificationError):
        convert(model, output=tmp_path / "no.ekm", **wishes)
    made = convert(model, rescue=True, output=tmp_path / "yes.ekm", **wishes).manifest
    assert made.verification.state == "passed"
    assert made.rescue is not None
    assert made.rescue.steps[-1] == f"bias correction of {LAYERS} operators"
