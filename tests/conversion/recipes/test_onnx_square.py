"""A square matrix, which does not tell by its shape whether a quantizer turned it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conversion.convert import convert

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime.quantization")


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("recipe", ["int8-dynamic", "int8-weight-only", "int4-blockwise"])
def test_a_square_gemm(tmp_path: Path, recipe: str, turned: int) -> None:
    rng, helper, constant = np.random.default_rng(0), onnx.helper, onnx.numpy_helper.from_array
    values = [
        constant(rng.normal(size=size).astype("f4"), name) for name, size in (("w", (32, 32)), ("b", 32))
    ]
    ends = [[helper.make_tensor_value_info(name, 1, [1, 32])] for name in ("x", "y")]
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=turned, name="dense")
    graph = helper.make_graph([node], "net", *ends, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "m.onnx"))
    made = convert(tmp_path / "m.onnx", to="onnx", recipe=recipe, output=tmp_path / "o.ekm")
    assert made.manifest.verification.state == "passed"
