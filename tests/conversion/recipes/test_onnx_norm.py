"""Batch normalization is put into the convolution before an ONNX model is quantized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.conversion.targets.onnx_norm import fold_norms
from edgekit.models.inspect import open_model
from tests.conversion.convert import convert

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

NORM = ("gamma", "beta", "mean", "var")


def made(*, bias: bool = True, epsilon: float = 1e-3, shown: bool = False) -> Any:
    """Conv, BatchNormalization, Relu. `shown`: what the convolution gives is an output too."""
    rng = np.random.default_rng(7)
    values = {
        "w": rng.standard_normal((6, 3, 3, 3)), "b": rng.standard_normal(6), "gamma": rng.uniform(0.2, 3, 6),
        "beta": rng.standard_normal(6), "mean": rng.standard_normal(6), "var": rng.uniform(0.1, 9, 6),
    }  # fmt: skip
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Conv", ["x", "w", *(["b"] if bias else [])], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", *NORM], ["n"], epsilon=epsilon),
        node("Relu", ["n"], ["y"]),
    ]
    outputs = [info(name, 1, [1, 6, 8, 8]) for name in ("y", *(["c"] if shown else []))]
    tensors = [
        onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in values.items() if bias or k != "b"
    ]
    graph = onnx.helper.make_graph(nodes, "g", [info("x", 1, [1, 3, 8, 8])], outputs, tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def run(model: Any, values: Any) -> Any:
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": values})[0]


@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_the_same(bias: bool) -> None:
    model, values = made(bias=bias), np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    before = run(model, values)
    assert fold_norms(model) == 1
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu"]
    assert {tensor.name for tensor in model.graph.initializer} == {"n_weight", "n_bias"}
    np.testing.assert_allclose(run(model, values), before, rtol=1e-5, atol=1e-5)


def test_what_is_read_elsewhere_too_stays() -> None:
    assert fold_norms(made(shown=True)) == 0
    model = made()
    model.graph.node[1].attribute.append(onnx.helper.make_attribute("training_mode", 1))
    assert fold_norms(model) == 0


def test_names_that_are_taken_stay_whose_they_are() -> None:
    """A normalization `n` whose own constants are called n_weight and n_bias."""
    model, values = made(), np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    new = {"gamma": "n_weight", "beta": "n_bias"}
    for tensor in model.graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    norm = model.graph.node[1]
    norm.input[:] = [new.get(name, name) for name in norm.input]
    before = run(model, values)
    assert fold_norms(model) == 1
    onnx.checker.check_model(model)
    np.testing.assert_allclose(run(model, values), before, rtol=1e-5, atol=1e-5)


def test_an_input_left_out_by_an_empty_name_is_none() -> None:
    model, values = made(bias=False), np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    model.graph.node[0].input.append("")
    before = run(model, values)
    assert fold_norms(model) == 1
    np.testing.assert_allclose(run(model, values), before, rtol=1e-5, atol=1e-5)


def test_constants_that_are_named_as_inputs_need_not_be_given_behind_it() -> None:
    """Models of IR 3 name all of theirs so: without a value they would be inputs of the model."""
    model, values = made(), np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(one.name, 1, list(one.dims)) for one in model.graph.initializer
    )
    before = run(model, values)
    assert fold_norms(model) == 1
    assert [place.name for place in model.graph.input] == ["x"]
    np.testing.assert_allclose(run(model, values), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "folds"), [("c", 0), ("w", 1)])
def test_what_a_branch_takes_from_outside_of_it_stays(name: str, folds: int) -> None:
    """`c`: what the convolution gives; `w`: its weights."""
    model, values = made(), np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    shape = [1, 6, 8, 8] if name == "c" else [6, 3, 3, 3]
    info, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    branches = {
        f"{side}_branch": onnx.helper.make_graph([node(op, [name], [side])], side, [], [info(side, 1, shape)])
        for side, op in (("then", "Neg"), ("else", "Abs"))
    }
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "condition"))
    model.graph.node.append(node("If", ["condition"], ["z"], **branches))
    model.graph.output.append(info("z", 1, shape))
    before = run(model, values)
    assert fold_norms(model) == folds
    onnx.checker.check_model(model)
    np.testing.assert_allclose(run(model, values), before, rtol=1e-5, atol=1e-5)


def test_a_quantized_model_has_none(tmp_path: Path) -> None:
    onnx.save(made(), str(tmp_path / "m.onnx"))
    np.savez(tmp_path / "c.npz", x=np.random.default_rng(2).random((20, 1, 3, 8, 8), np.float32))
    found = convert(
        tmp_path / "m.onnx", recipe="int8-static", to="onnx", calibration=tmp_path / "c.npz",
        output=tmp_path / "o.ekm",
    )  # fmt: skip
    assert "1 BatchNormalization put into the weights of the Conv before" in found.manifest.notes
    assert found.manifest.verification.snr_db is not None
    assert found.manifest.verification.snr_db > 25
    assert "BatchNormalization" not in open_model(found.model_path).operators
