"""B1-b1: where nothing converts, the refusal quotes the tool's own error, which is reproduced here with the tool."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.conversion.routes import ROUTES
from tests.conversion.nets import build

pytestmark = pytest.mark.heavy

ASK = {
    "keras.Model.export(format='onnx')": (
        "import keras, sys, numpy\nmodel = keras.models.load_model(sys.argv[1], compile=False)\n"
        "model(numpy.zeros((1, *model.inputs[0].shape[1:]), 'float32'))\nmodel.export(sys.argv[2], format='onnx')"
    ),
    "coremltools.convert": "import coremltools, sys\ncoremltools.convert(sys.argv[1])",
    "onnx.load": "import onnx, sys\nonnx.load(sys.argv[1])",
}
MODEL_OF = {
    "keras": "import keras, sys\nmodel = keras.models.load_model(sys.argv[1], compile=False)",
    "onnx": "import onnx, sys\nmodel = onnx.load(sys.argv[1])",
    "tflite": "import sys\nfrom ai_edge_litert.interpreter import Interpreter\nmodel = Interpreter(sys.argv[1])",
}
REFUSED = sorted(key for key, route in ROUTES.items() if route.tool is None)


@pytest.mark.parametrize(("framework", "target"), REFUSED)
def test_the_tool_says_so(tmp_path: Path, framework: str, target: str) -> None:
    route = ROUTES[framework, target]
    program = ASK.get(route.asked)
    if program is None:
        assert route.asked == "torch.export"
        program = MODEL_OF[framework] + "\nimport torch\ntorch.export.export(model, (torch.rand(1, 4),))"
    command = [sys.executable, "-c", program, str(build("cnn", framework, tmp_path)), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode != 0
    assert route.refusal in done.stderr, done.stderr[-1500:]


def test_every_pair_has_an_answer() -> None:
    assert set(ROUTES) == {
        (source, target)
        for source in ("torch", "keras", "onnx", "tflite")
        for target in ("tflite", "onnx", "executorch", "coreml")
    }
    assert all((route.tool is None) == bool(route.asked and route.refusal) for route in ROUTES.values())
