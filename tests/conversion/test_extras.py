"""How the frameworks are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def test_onnx_runtimes_telemetry_is_off_on_this_host_too(tmp_path: Path) -> None:
    """edgekit has no telemetry: left alone, the package keeps a database for uploads in the home folder."""
    home = tmp_path / "home"
    home.mkdir()
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "g", [value], [out])
    opsets = [onnx.helper.make_opsetid("", 17)]
    (tmp_path / "m.onnx").write_bytes(
        onnx.helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()
    )
    code = (
        "from edgekit.conversion.extras import need\n"
        "runtime = need('onnxruntime', 'onnx', 'the test')\n"
        f"runtime.InferenceSession({str(tmp_path / 'm.onnx')!r}, providers=['CPUExecutionProvider'])\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment = {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=120, check=True)
    assert list(home.iterdir()) == []
